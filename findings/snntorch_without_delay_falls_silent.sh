#!/usr/bin/env bash
# A snnTorch neuron with reset_delay=False whose membrane passes two thresholds stays above its threshold and is silent.
#
# Versions: snntorch==1.0.0, torch==2.13.0, numpy==2.4.6, Python 3.11.
# Behaviour: `Leaky(beta=1, threshold=1, reset_delay=False)` takes a current of 2.5, fires, and keeps 1.5. Without further
# input it should fire once more. In the next step the membrane, above the threshold still, is taken for a reset that is
# due; the threshold is subtracted before the spike is decided and added again afterwards, as a "double reset". So the
# neuron stays at 1.5, above its threshold, and is silent until it leaks or is inhibited.
# (Expected: spikes [1, 1, 0, 0], membrane 0.5.)
# Output seen: "spikes [1, 0, 0, 0], membrane at the end 1.5".
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6'
"${pip[@]}" --no-deps 'snntorch==1.0.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import torch, snntorch
node = snntorch.Leaky(beta=1.0, threshold=1.0, reset_delay=False)
membrane, spikes = torch.zeros(1), []
for current in (2.5, 0.0, 0.0, 0.0):
    spike, membrane = node(torch.tensor([current]), membrane)
    spikes.append(int(spike))
print(f"spikes {spikes}, membrane at the end {membrane.item()}")
PYTHON
)
echo "$seen"
[ "$seen" = "spikes [1, 0, 0, 0], membrane at the end 1.5" ]
