"""Whether a written file says what the model says, at other lengths and batches than it was traced with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..exchange.needed import needed
from .program import VOCABULARY, Exported

SIZES = ((1, 1), (9, 2), (33, 4))
"""Lengths and batches; none is that of the example."""

Runs = Callable[..., tuple[Tensor, ...]]


class Agreement(NamedTuple):
    """largest: difference of a number that came out. differing: share of numbers further apart than 1e-4 of
    the largest of theirs: a spike more or less, where another order of sums rounds otherwise."""

    largest: float
    differing: float


def open_onnx(file: str | Path, threads: int = 1) -> Runs:
    """An ONNX file run by onnxruntime: tensors in the order of its inputs, to those of its outputs.

    Raises:
        ValueError: onnxruntime does not take the file: none is there, it is no ONNX, or newer than it knows.
            What runs raises TypeError for other tensors than the file takes, and ValueError for ids outside
            the vocabulary and lengths outside the tokens.
    """
    onnxruntime = needed("onnxruntime", "pip install 'spikeseq[onnx]'")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a class of its own for each kind
        known = f"onnxruntime {onnxruntime.__version__}"
        raise ValueError(f"{known} cannot open {Path(file).name}: {reason(str(error))}") from None
    takes, about = session.get_inputs(), session.get_modelmeta().custom_metadata_map
    vocabulary = int(about[VOCABULARY]) if VOCABULARY in about else None

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        types = [(one.name, TYPES.get(one.type, one.type), len(one.shape)) for one in takes]
        check_given(types, tensors)
        check_numbers([name for name, _, _ in types], tensors, vocabulary)
        given = {one.name: tensor.numpy() for one, tensor in zip(takes, tensors, strict=True)}
        return tuple(torch.from_numpy(found) for found in session.run(None, given))

    return run


TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"} | {
    f"tensor({name})": name for name in ("int64", "int32", "bool")
}


def reason(text: str) -> str:
    """What an error of onnxruntime says, without the places in its own source."""
    for mark in ("Unsupported model IR version", "Opset ", "Protobuf parsing failed", "File doesn't exist"):
        if mark in text:
            return " ".join(text[text.index(mark) :].split()).split(". ")[0].rstrip(".")
    return " ".join(text.split())


def check_given(takes: list[tuple[str, str, int]], tensors: tuple[Tensor, ...]) -> None:
    """Refuses tensors that a file does not take: their number, types and dimensions.

    Raises:
        TypeError: naming the first.
    """
    if len(takes) != len(tensors):
        names = ", ".join(name for name, _, _ in takes)
        raise TypeError(f"the file takes {len(takes)} tensors ({names}), got {len(tensors)}")
    for (name, dtype, dims), tensor in zip(takes, tensors, strict=True):
        found = str(tensor.dtype).removeprefix("torch.")
        if found != dtype or tensor.dim() != dims:
            raise TypeError(
                f"{name} must be {dtype} of {dims} dimensions, got {found} of shape {tuple(tensor.shape)}"
            )


def check_numbers(names: list[str], tensors: tuple[Tensor, ...], vocabulary: int | None) -> None:
    """Refuses ids and lengths that runtimes take for others, or end the process with.

    Raises:
        ValueError: naming the first.
    """
    for name, tensor in zip(names, tensors, strict=True):
        if name == "tokens" and vocabulary is not None:
            most = vocabulary - 1
        elif name == "lengths":
            most = len(tensors[names.index("tokens")])
        else:
            continue
        low, high = map(int, tensor.aminmax()) if tensor.numel() else (0, 0)
        if low < 0 or high > most:
            raise ValueError(f"{name} must lie in [0, {most}], got {low if low < 0 else high}")


def open_pt2(file: str | Path) -> Runs:
    """A compiled package run by torch.

    Raises:
        ValueError: torch does not take the file. What runs raises TypeError and ValueError, as that of
            `open_onnx`.
    """
    try:
        model: Any = torch._inductor.aoti_load_package(str(file))
        about = model.get_metadata()
        takes: Any = json.loads(about.get("spikeseq_inputs", "null"))
        vocabulary = int(about[VOCABULARY]) if VOCABULARY in about else None
    except Exception as error:  # of any kind
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"torch {torch.__version__} cannot open {Path(file).name}: {told[0]}") from None

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        if takes is not None:  # the package itself would read other numbers than were given
            check_given([tuple(one) for one in takes], tensors)
            check_numbers([one[0] for one in takes], tensors, vocabulary)
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
