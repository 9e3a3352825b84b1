#!/usr/bin/env bash
# snnTorch reads a recurrent layer of a NIR graph with its input led through the recurrent weights.
#
# Versions: snntorch==1.0.0, nirtorch==2.6, nir==1.0.8, torch==2.13.0, numpy==2.4.6, Python 3.11.
# Behaviour: `import_from_nir` replaces a cycle between a LIF and a Linear node by a graph of its own, whose input it
# connects to the Linear node, not to the LIF (`_create_rnn_subgraph`). What reaches the neurons is W_rec times the
# input; here, where W_rec is zero, nothing does. No warning is given. Its own writer makes such a cycle of an RLeaky, so
# that it misreads its own files. (Expected: 20 spikes, two neurons in each of ten steps.)
# Output seen: "0 spikes in 10 steps".
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6' 'h5py==3.16.0'
"${pip[@]}" --no-deps 'nir==1.0.8' 'nirtorch==2.6' 'snntorch==1.0.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import contextlib, io
import numpy as np
import torch
import nir
from snntorch.import_nir import import_from_nir

lif = nir.LIF(np.full(2, 1e-3), np.full(2, 10.0), np.zeros(2), np.ones(2))  # leak 0.9, gain 1 at its step of 0.1 ms
nodes = {
    "input": nir.Input(np.array([2])),
    "rnn.lif": lif,
    "rnn.w_rec": nir.Linear(np.zeros((2, 2), np.float32)),
    "output": nir.Output(np.array([2])),
}
edges = [("input", "rnn.lif"), ("rnn.lif", "rnn.w_rec"), ("rnn.w_rec", "rnn.lif"), ("rnn.lif", "output")]
with contextlib.redirect_stdout(io.StringIO()):
    network = import_from_nir(nir.NIRGraph(nodes, edges))
state, total = None, 0
for _ in range(10):
    spikes, state = network(torch.full((1, 2), 2.0), state)
    total += int(spikes.sum())
print(f"{total} spikes in 10 steps")
PYTHON
)
echo "$seen"
[ "$seen" = "0 spikes in 10 steps" ]
