#!/usr/bin/env bash
# Opacus gives a gradient for every token where a layer inside a batch-first model sees time first, without a word.
#
# Versions: opacus==1.6.0, torch==2.13.0, Python 3.11.
# Behaviour: `GradSampleModule` has one `batch_first` for all layers of a model. A model that takes (batch, time, features) and
# turns it around inside, as many recurrent models do, gets per-sample gradients that are those of time steps: as many as
# there are samples where both numbers are equal. Their sum is right, so that training goes on; their norms, which
# clipping and so the privacy of DP-SGD hang on, are others. (Expected: the gradients of samples, or an error.)
# Output seen: "shape right: True, sum right: True, samples right: False, warnings: 0".
# Date: 2026-11-30.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6' 'scipy==1.17.1' 'opt-einsum==3.4.0'
"${pip[@]}" --no-deps 'opacus==1.6.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import warnings
import torch
from torch import nn
from opacus import GradSampleModule


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.map, self.head = nn.Linear(3, 5), nn.Linear(5, 1)

    def forward(self, x):  # (batch, time, features)
        hidden = torch.tanh(self.map(x.transpose(0, 1)))  # time first
        return self.head(hidden.cumsum(0)[-1])


torch.manual_seed(0)
model, x = Reader(), torch.randn(4, 4, 3)  # as many samples as time steps
each = []
for one in x:
    model.zero_grad()
    model(one.unsqueeze(0)).sum().backward()
    each.append(model.map.weight.grad.clone())
each = torch.stack(each)
model.zero_grad(set_to_none=True)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    private = GradSampleModule(model, loss_reduction="sum")
    private(x).sum().backward()
found = model.map.weight.grad_sample
caught = [one for one in caught if "batch" in str(one.message) or "time" in str(one.message)]
close = lambda a, b: torch.allclose(a, b, atol=1e-5)
print(
    f"shape right: {found.shape == each.shape}, sum right: {close(found.sum(0), each.sum(0))},"
    f" samples right: {close(found, each)}, warnings: {len(caught)}"
)
PYTHON
)
echo "$seen"
[ "$seen" = "shape right: True, sum right: True, samples right: False, warnings: 0" ]
