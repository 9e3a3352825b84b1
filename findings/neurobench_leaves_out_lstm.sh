#!/usr/bin/env bash
# NeuroBench leaves nn.LSTM out of the synaptic operations of a model, and with quiet=True says nothing about it.
#
# Versions: neurobench==2.3.0, snntorch==1.0.0, torch==2.13.0, Python 3.11.
# Behaviour: `SynapticOperations` hooks nn.LSTM as a layer that it supports, and then fails on it. The benchmark catches
# the error, prints it and goes on, and the results hold what was counted of other layers: 0.0 for a model that is an LSTM
# alone. Run with quiet=True, as in scripts, nothing is printed at all. (Expected: an error, or the operations of the LSTM:
# 4 x 8 x (4 + 8) a step, 1920 of the five steps here, beside 16 of the linear layer.)
# Output seen: "LSTM and linear layer: 16.0, LSTM alone: 0.0, printed: nothing".
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6' 'tqdm==4.70.1'
"${pip[@]}" --no-deps 'neurobench==2.3.0' 'snntorch==1.0.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON' 2>&1 | tail -n 1
import contextlib, io
import torch
from torch import nn
from neurobench.benchmarks import Benchmark
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel


class Tagger(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.rnn, self.out = nn.LSTM(4, 8, batch_first=True), out

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


data = torch.utils.data.TensorDataset(torch.randn(3, 5, 4), torch.zeros(3, dtype=torch.int64))
loader = torch.utils.data.DataLoader(data, batch_size=1)
printed, found = io.StringIO(), []
with contextlib.redirect_stdout(printed):
    for out in (nn.Linear(8, 2), nn.Identity()):
        benchmark = Benchmark(TorchModel(Tagger(out)), loader, [], [], [[], [SynapticOperations]])
        found.append(float(benchmark.run(quiet=True)["SynapticOperations"]["Effective_MACs"]))
said = printed.getvalue().strip() or "nothing"
print(f"LSTM and linear layer: {found[0]}, LSTM alone: {found[1]}, printed: {said}")
PYTHON
)
echo "$seen"
[ "$seen" = "LSTM and linear layer: 16.0, LSTM alone: 0.0, printed: nothing" ]
