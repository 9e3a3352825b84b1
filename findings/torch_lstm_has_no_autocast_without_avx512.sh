#!/usr/bin/env bash
# torch's nn.LSTM fails under bfloat16 autocast on processors without AVX-512, where nn.GRU and nn.RNN compute.
#
# Versions: torch==2.13.0 (CPU), numpy==2.4.6, Python 3.11, x86-64; ONEDNN_MAX_CPU_ISA=AVX2 makes a newer processor behave as
# one with AVX2 alone, and changes nothing on those.
# Behaviour: inside `torch.autocast("cpu", torch.bfloat16)`, where a training script puts its whole model, an nn.LSTM hands
# itself to oneDNN, which has no such LSTM there, and a RuntimeError about a primitive descriptor comes out. nn.RNN answers in
# bfloat16, nn.GRU in float32, without a word. The same LSTM answers in float32 under the same autocast with
# `torch.backends.mkldnn` switched off, and in bfloat16 when the module itself is cast. (Expected: an answer in every case, as
# autocast chooses for each operation a type that it has.)
# Output seen: "RNN bfloat16, GRU float32, LSTM RuntimeError, LSTM without oneDNN float32, LSTM cast bfloat16".
# Date: 2026-11-30.
# Ends with status 0 as long as the behaviour is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
seen=$(ONEDNN_MAX_CPU_ISA=AVX2 "$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tail -n 1
import contextlib
import torch
from torch import nn

x, autocast = torch.zeros(4, 3, 6), torch.autocast("cpu", torch.bfloat16)
without = torch.backends.mkldnn.flags(enabled=False)


def told(module, *around, x=x):
    try:
        with contextlib.ExitStack() as stack:
            for one in around:
                stack.enter_context(one)
            return str(module(x)[0].dtype).removeprefix("torch.")
    except RuntimeError as error:
        return type(error).__name__


print(
    f"RNN {told(nn.RNN(6, 8), autocast)}, GRU {told(nn.GRU(6, 8), autocast)}, LSTM {told(nn.LSTM(6, 8), autocast)}"
    f", LSTM without oneDNN {told(nn.LSTM(6, 8), autocast, without)}"
    f", LSTM cast {told(nn.LSTM(6, 8).bfloat16(), x=x.bfloat16())}"
)
PYTHON
)
echo "$seen"
[ "$seen" = "RNN bfloat16, GRU float32, LSTM RuntimeError, LSTM without oneDNN float32, LSTM cast bfloat16" ]
