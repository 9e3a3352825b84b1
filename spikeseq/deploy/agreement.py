"""Whether a written file says what the model says, at other lengths and batches than it was traced with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..exchange.needed import needed
from .program import Exported

SIZES = ((1, 1), (9, 2), (33, 4))
"""Lengths and batches; none is that of the example."""

Runs = Callable[..., tuple[Tensor, ...]]


class Agreement(NamedTuple):
    """largest: difference of a number that came out. differing: share of numbers further apart than 1e-4 of
    the largest of theirs: a spike more or less, where another order of sums rounds otherwise."""

    largest: float
    differing: float


def open_onnx(file: str | Path, threads: int = 1) -> Runs:
    """An ONNX file run by onnxruntime: tensors in the order of its inputs, to those of its outputs."""
    onnxruntime = needed("onnxruntime", "pip install 'spikeseq[onnx]'")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        return tuple(torch.from_numpy(found) for found in session.run(None, given))

    return run


def open_pt2(file: str | Path) -> Runs:
    """A compiled package run by torch."""
    model: Any = torch._inductor.aoti_load_package(str(file))

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        found = model(*tensors)
        return (found,) if isinstance(found, Tensor) else tuple(found)

    return run


def expected(exported: Exported, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What the model itself says, eagerly."""
    with torch.no_grad():
        found = exported.module(*given)
    return (found,) if isinstance(found, Tensor) else found


def agreement(exported: Exported, runs: Runs, sizes: tuple[tuple[int, int], ...] = SIZES) -> Agreement:
    """Lets a written file and the model read the same random tokens.

    Raises:
        ValueError: what came out has another shape.
    """
    largest, apart, count = 0.0, 0, 0
    for length, batch in sizes:
        given = exported.module.example(length, batch)
        for name, one, wanted in zip(
            exported.inputs.outputs, runs(*given), expected(exported, given), strict=True
        ):
            if one.shape != wanted.shape:
                raise ValueError(f"{name} is {tuple(one.shape)}, and not {tuple(wanted.shape)}")
            off = (one.double() - wanted.double()).abs()
            largest = max(largest, float(off.max()))
            apart += int((off > 1e-4 * wanted.abs().max().clamp(min=1)).sum())
            count += off.numel()
    return Agreement(largest, apart / count)
