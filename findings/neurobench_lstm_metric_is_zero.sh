#!/usr/bin/env bash
# NeuroBench reports 0.0 synaptic operations for a model with nn.LSTM, and with quiet=True says nothing about it.
#
# Versions: neurobench==2.3.0, snntorch==1.0.0, torch==2.13.0, Python 3.11.
# Behaviour: `SynapticOperations` cannot count nn.LSTM, whose hook hands it a tuple or an unknown layer. The error is
# caught by the benchmark, printed, and the metric stays 0.0 in the results, as for a model that does nothing. Run with
# quiet=True, as in scripts, nothing is printed at all. (Expected: an error, or the operations of the LSTM.)
# Output seen: "quiet: SynapticOperations = 0.0, printed: nothing".
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
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


data = torch.utils.data.TensorDataset(torch.randn(3, 5, 4), torch.zeros(3, dtype=torch.int64))
loader = torch.utils.data.DataLoader(data, batch_size=1)
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    found = Benchmark(TorchModel(Tagger()), loader, [], [], [[], [SynapticOperations]]).run(quiet=True)
said = printed.getvalue().strip() or "nothing"
print(f"quiet: SynapticOperations = {found['SynapticOperations']}, printed: {said}")
PYTHON
)
echo "$seen"
[ "$seen" = "quiet: SynapticOperations = 0.0, printed: nothing" ]
