#!/usr/bin/env bash
# rockpool's torch neurons keep the state of the first row of a batch alone, and give it to all rows of the next call.
#
# Versions: rockpool==3.1.0, torch==2.13.0, numpy==2.4.6, scipy==1.17.1, Python 3.11.
# Behaviour: a `LIFNeuronTorch` of threshold 1 gets a batch of four sequences, of which the first gives its neuron 0.9 and
# the others nothing, and then goes on with the same four, each with 0.2. All four fire: after a call the module holds
# one state, that of row 0, whatever the batch. Sequences that are fed in chunks run on the memory of another one.
# (Expected: [1, 0, 0, 0].)
# Output seen: "spikes [1, 1, 1, 1]".
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6' 'scipy==1.17.1' pbr
"${pip[@]}" --no-deps 'rockpool==3.1.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import torch
from rockpool.nn.modules import LIFNeuronTorch

neurons = LIFNeuronTorch(shape=(1,), tau_mem=1.0, threshold=torch.tensor(1.0), dt=1e-3)


def fired(batch):
    return neurons(torch.tensor(batch).reshape(4, 1, 1))[0].flatten().int().tolist()


fired([0.9, 0.0, 0.0, 0.0])
print(f"spikes {fired([0.2, 0.2, 0.2, 0.2])}")
PYTHON
)
echo "$seen"
[ "$seen" = "spikes [1, 1, 1, 1]" ]
