#!/usr/bin/env bash
# tonic's frames of events count in 16 bits, so a pixel with many events in one frame has a negative count.
#
# Versions: tonic==1.7.0, numpy==2.4.6, Python 3.11.
# Behaviour: `tonic.transforms.ToFrame` makes arrays of int16, whatever the number of events. A pixel that has
# 40,000 events in one frame, as a hot pixel of an event camera may in a long window, gets 40,000 - 65,536. No
# warning is given. Frames that are clipped or normalised afterwards then take the hottest pixel for the coldest.
# Output seen: "int16 -25536" (expected: 40000).
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'numpy==2.4.6' 'scipy==1.17.1' 'h5py==3.16.0' 'requests==2.34.2' 'tqdm==4.70.1' 'typing-extensions==4.16.0' \
  'importRosbag==1.0.4'
"${pip[@]}" --no-deps 'tonic==1.7.0'
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from tonic.transforms import ToFrame

count = 40_000
events = np.zeros(count, dtype=[("x", "<i2"), ("y", "<i2"), ("p", "?"), ("t", "<i8")])
events["t"] = np.arange(count)
frames = ToFrame(sensor_size=(4, 4, 2), event_count=count)(events)
print(frames.dtype, frames.flat[np.abs(frames.astype(int)).argmax()])
PYTHON
)
echo "$seen"
[ "$seen" = "int16 -25536" ]
