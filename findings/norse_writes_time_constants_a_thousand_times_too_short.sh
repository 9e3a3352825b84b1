#!/usr/bin/env bash
# norse writes time constants into NIR files that its own reader takes for a thousand times shorter ones.
#
# Versions: norse==1.1.0, nirtorch==2.6, nir==1.0.8, torch==2.13.0, numpy==2.4.6, Python 3.11.
# Behaviour: `norse.torch.to_nir` writes tau = dt / tau_mem_inv with dt = 0.001, 1e-5 for neurons of 10 ms; `from_nir` reads
# tau in seconds and steps by 0.001. A membrane that should keep 0.9 of itself is multiplied by 1 - 100 = -99 in
# every step. With `to_nir(..., dt=1.0)` the file is right. (Expected: as many spikes as before, 14.)
# Output seen: "tau 1e-05, 14 spikes before, 100 after".
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6' 'h5py==3.16.0'
"${pip[@]}" --no-deps 'nir==1.0.8' 'nirtorch==2.6' 'norse==1.1.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import torch
import norse.torch as norse

parameters = norse.LIFBoxParameters(
    tau_mem_inv=torch.full((1,), 100.0), v_leak=torch.zeros(1), v_th=torch.ones(1)
)
network = norse.SequentialState(torch.nn.Linear(1, 1, bias=False), norse.LIFBoxCell(parameters))
torch.nn.init.ones_(network[0].weight)
graph = norse.to_nir(network, torch.ones(1))
tau = next(node.tau for node in graph.nodes.values() if type(node).__name__ == "LIF")
counts = []
for one in (network, norse.from_nir(graph)):
    state, total = None, 0
    for _ in range(100):
        spikes, state = one(torch.full((1, 1), 2.0), state)
        total += int(spikes.sum())
    counts.append(total)
print(f"tau {tau.item():.0e}, {counts[0]} spikes before, {counts[1]} after")
PYTHON
)
echo "$seen"
[ "$seen" = "tau 1e-05, 14 spikes before, 100 after" ]
