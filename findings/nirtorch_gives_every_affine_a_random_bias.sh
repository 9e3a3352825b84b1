#!/usr/bin/env bash
# nirtorch's own map of nir.Affine leaves the bias of the file out: every reading draws another one.
#
# Versions: nirtorch==2.6, nir==1.0.8, torch==2.13.0, numpy==2.4.6, Python 3.11.
# Behaviour: `nirtorch.nir_to_torch(graph, {})` makes an nn.Linear of an Affine, sets its weight, and puts the bias on the
# weight (`module.weight.bias`) in the place of the module, which keeps the random one that it was made with. No
# warning is given. Libraries that map nir.Affine themselves are not affected. (Expected for zeros: the bias, [5, 7].)
# Output seen: "for zeros: [[-0.27, 0.19], [-0.67, 0.42]]", with the seeds 0 and 1.
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6' 'h5py==3.16.0'
"${pip[@]}" --no-deps 'nir==1.0.8' 'nirtorch==2.6'
seen=$("$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import numpy as np
import torch
import nir, nirtorch

graph = nir.NIRGraph.from_list(nir.Affine(np.eye(2, dtype=np.float32), np.array([5, 7], dtype=np.float32)))
found = []
for seed in (0, 1):
    torch.manual_seed(seed)
    network = nirtorch.nir_to_torch(graph, {})
    found.append([round(value, 2) for value in network(torch.zeros(2))[0].tolist()])
print(f"for zeros: {found}")
PYTHON
)
echo "$seen"
[ "$seen" = "for zeros: [[-0.27, 0.19], [-0.67, 0.42]]" ]
