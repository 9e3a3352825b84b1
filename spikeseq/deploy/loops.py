"""Loops over tokens that torch cannot trace for every length, as one op, and its translation to ONNX."""

from typing import Any

import torch
from torch import Tensor

KINDS = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
"""Operators of ONNX, and the order of their gates in torch's."""


@torch.library.custom_op("spikeseq_deploy::rnn", mutates_args=(), device_types="cpu")
def rnn(
    kind: str,
    x: Tensor,
    hidden: Tensor,
    cell: Tensor,
    w_in: Tensor,
    w_back: Tensor,
    b_in: Tensor,
    b_back: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer of nn.LSTM or nn.GRU over (L, B, D): output (L, B, H), hidden state and cell (B, H).

    Args:
        kind: of `KINDS`. cell: of a GRU, whatever has its shape.
    """
    weights = [w_in, w_back, b_in, b_back]
    first, options = hidden.unsqueeze(0).contiguous(), (True, 1, 0.0, False, False, False)
    if kind == "GRU":
        out, last = torch._VF.gru(x, first, weights, *options)  # type: ignore[attr-defined]
        return out, last.squeeze(0).clone(), cell.clone()
    state = (first, cell.unsqueeze(0).contiguous())
    out, last, cells = torch._VF.lstm(x, state, weights, *options)  # type: ignore[attr-defined]
    return out, last.squeeze(0).clone(), cells.squeeze(0).clone()


@rnn.register_fake
def _shapes(kind: str, x: Tensor, hidden: Tensor, cell: Tensor, *_weights: Tensor) -> tuple[Tensor, ...]:
    out = x.new_empty((x.shape[0], x.shape[1], hidden.shape[1]))
    return out, torch.empty_like(hidden), torch.empty_like(cell)


def rnn_to_onnx(
    kind: str,
    x,  # tensors stay without types, as in scan.py
    hidden,
    cell,
    w_in,
    w_back,
    b_in,
    b_back,
):
    """`spikeseq_deploy::rnn` as ONNX's operator of that name."""
    from onnxscript import opset18 as op

    order, size = KINDS[kind], int(hidden.shape[1])

    def ints(*values: int) -> Any:
        return op.Constant(value_ints=list(values))

    def gates(values: Any) -> Any:
        """Rows of gates in ONNX's order, behind a dimension for the direction."""
        parts = [op.Slice(values, ints(gate * size), ints((gate + 1) * size), ints(0)) for gate in order]
        return op.Unsqueeze(op.Concat(*parts, axis=0), ints(0))

    biases = op.Concat(gates(b_in), gates(b_back), axis=1)
    given = (x, gates(w_in), gates(w_back), biases, None, op.Unsqueeze(hidden, ints(0)))
    if kind == "GRU":
        out, last = op.GRU(*given, hidden_size=size, linear_before_reset=1)
        cells = op.Identity(cell)
    else:
        out, last, cells = op.LSTM(*given, op.Unsqueeze(cell, ints(0)), hidden_size=size)
        cells = op.Squeeze(cells, ints(0))
    return op.Squeeze(out, ints(1)), op.Squeeze(last, ints(0)), cells
