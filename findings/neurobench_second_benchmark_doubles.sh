#!/usr/bin/env bash
# A second NeuroBench `Benchmark` on one model counts every operation twice, as long as the first one lives.
#
# Versions: neurobench==2.3.0, snntorch==1.0.0, torch==2.13.0, Python 3.11.
# Behaviour: `Benchmark.__init__` registers hooks on the wrapped model and only its destructor takes them away. Two
# benchmarks of one `TorchModel`, on two data sets say, see each layer twice; so all counts of the second (and of
# the first, if it is run again) are doubled, without a warning. (Expected: the counts of one.)
# Output seen: "one: 40.0, a second beside it: 80.0" MACs of a 4 x 10 linear layer.
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
import torch
from torch import nn
from neurobench.benchmarks import Benchmark
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel

data = torch.utils.data.TensorDataset(torch.rand(3, 4) + 0.5, torch.zeros(3, dtype=torch.int64))
loader = torch.utils.data.DataLoader(data, batch_size=1)
model = TorchModel(nn.Sequential(nn.Linear(4, 10, bias=False)))
first = Benchmark(model, loader, [], [], [[], [SynapticOperations]])
one = first.run(quiet=True)["SynapticOperations"]["Effective_MACs"]
second = Benchmark(model, loader, [], [], [[], [SynapticOperations]])
two = second.run(quiet=True)["SynapticOperations"]["Effective_MACs"]
print(f"one: {float(one)}, a second beside it: {float(two)}")
PYTHON
)
echo "$seen"
[ "$seen" = "one: 40.0, a second beside it: 80.0" ]
