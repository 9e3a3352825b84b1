#!/usr/bin/env bash
# torch.onnx.export writes a fixed length where a Dim asked for a dynamic one and torch.export refuses.
#
# Versions: torch==2.13.0, onnx==1.23.2, onnxscript==0.7.2, onnxruntime==1.32.0, Python 3.11.
# Behaviour: a model that calls `len(x)` holds one length in a trace. torch.export.export, given Dim("length"), says so
# in an error. torch.onnx.export, given the same model, example and dynamic_shapes, writes a file whose input is
# (5, 2, 4), the example's; it neither raises nor warns, and onnxruntime then refuses every other length.
# Output seen: "torch.export: UserError; ONNX input [5, 2, 4]" (expected: a refusal from both).
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
    def forward(self, x):
        return x[: len(x)] * 2


example, shapes = (torch.zeros(5, 2, 4),), ({0: Dim("length")},)
try:
    torch.export.export(Net(), example, dynamic_shapes=shapes)
    said = "exported"
except Exception as error:
    said = type(error).__name__
torch.onnx.export(Net(), example, "net.onnx", dynamo=True, dynamic_shapes=shapes, verbose=False)
print(f"torch.export: {said}; ONNX input {onnxruntime.InferenceSession('net.onnx').get_inputs()[0].shape}")
PYTHON
)
echo "$seen"
[ "$seen" = "torch.export: UserError; ONNX input [5, 2, 4]" ]
