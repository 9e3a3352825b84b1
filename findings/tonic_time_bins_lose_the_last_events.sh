#!/usr/bin/env bash
# tonic's frames of a fixed number of time bins leave out the events of a recording's last moment.
#
# Versions: tonic==1.7.0, numpy==2.4.6, Python 3.11.
# Behaviour: `tonic.transforms.ToFrame(n_time_bins=N)` divides the time from the first event to the last into N
# bins whose ends are excluded, the end of the last one too. Every event that has the time of the last event is in
# no frame: one at least of each recording, and all of them where a camera stamps a burst with one time.
# `n_event_bins` has them all where the bins divide the events evenly.
# Output seen: "1000 events, 900 in frames by time, 1000 in frames by events" (expected: 1000 in both).
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

events = np.zeros(1000, dtype=[("x", "<i2"), ("y", "<i2"), ("p", "?"), ("t", "<i8")])
events["t"] = np.minimum(np.arange(1000), 900)  # the last hundred come at one time
sizes = {"sensor_size": (4, 4, 2)}
by_time = ToFrame(**sizes, n_time_bins=10)(events).sum()
by_events = ToFrame(**sizes, n_event_bins=10)(events).sum()
print(f"{len(events)} events, {by_time} in frames by time, {by_events} in frames by events")
PYTHON
)
echo "$seen"
[ "$seen" = "1000 events, 900 in frames by time, 1000 in frames by events" ]
