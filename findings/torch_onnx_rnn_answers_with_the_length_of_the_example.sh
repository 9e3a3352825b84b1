#!/usr/bin/env bash
# torch.onnx.export of an nn.RNN with Dim.AUTO writes a file that takes any length and answers with the example's.
#
# Versions: torch==2.13.0, onnx==1.23.2, onnxscript==0.7.2, onnxruntime==1.32.0, Python 3.11.
# Behaviour: the file's input has a length that is free ("s77"), so that onnxruntime takes 9 tokens without an error.
# But the loop over time was traced for the 5 tokens of the example: 5 outputs come back, the last 4 tokens are not
# read, and the final state is that of the fifth. No warning of the export speaks of it. Fewer tokens than 5 are an
# error in the middle of the file.
# Output seen: "input ['s77', 2, 4], 9 tokens in, 5 out" (expected: 9 out, or a refusal).
# Date: 2026-11-29.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0' 'numpy==2.4.6'
"${pip[@]}" 'onnx==1.23.2' 'onnxscript==0.7.2' 'onnxruntime==1.32.0'
seen=$(cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import onnxruntime
import torch
from torch import nn
from torch.export import Dim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 3)

    def forward(self, x):
        return self.rnn(x)[0]


example = torch.zeros(5, 2, 4)
torch.onnx.export(Net().eval(), (example,), "net.onnx", dynamo=True, dynamic_shapes=({0: Dim.AUTO},), verbose=False)
session = onnxruntime.InferenceSession("net.onnx")
given = session.get_inputs()[0]
(out,) = session.run(None, {given.name: torch.zeros(9, 2, 4).numpy()})
print(f"input {given.shape}, 9 tokens in, {len(out)} out")
PYTHON
)
echo "$seen"
[ "$seen" = "input ['s77', 2, 4], 9 tokens in, 5 out" ]
