"""The weights of a run, `model.safetensors`: as they were trained, or with their matrices in 8 bits.

In 8 bits a matrix is whole numbers and, for each row, the value that one of them stands for: 127 of these are
the row's largest. Vectors (leaks, thresholds, biases) stay as they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from spikeseq.files import write_whole
from spikeseq.recipes.manifest import CONFIG_FILE, RunError, checked

FORMATS = ("1", "2")
"""The second has matrices in 8 bits, which versions that know the first alone refuse."""
MODEL_FILE = "model.safetensors"
STEP = ".step"
"""What is added to a matrix's name for the values that one step stands for, one for each row."""
SMALLEST = 1024
"""Values that a matrix must have: of smaller ones little would be saved."""


def save_model(folder: Path, model: nn.Module, config: Any, *, small: bool = False) -> None:
    """`model.safetensors`, with the format's version and what the model is.

    small: matrices in 8 bits, a quarter of the size.
    """
    tied = tied_names(model)
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if name not in tied
    }
    about = {"format": FORMATS[small], "recipe": config.recipe, "model": config.model.name}
    write_whole(folder / MODEL_FILE, in_order(save(rounded(tensors) if small else tensors, about)))


def in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted: else the same weights have another digest each time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:8] + text.ljust(end - 8) + content[end:]


def tied_names(model: nn.Module) -> set[str]:
    """Further names of tensors that have one already: an output map may share an embedding's table."""
    names = (nn.Module.named_parameters, nn.Module.named_buffers)
    once = {name for listed in names for name, _ in listed(model)}
    return {name for listed in names for name, _ in listed(model, remove_duplicate=False)} - once


def load_weights(folder: Path, model: nn.Module) -> None:
    """Puts a run's weights into `model`.

    Raises:
        RunError: no such file, a truncated one, another format, or weights of another model.
    """
    path = folder / MODEL_FILE
    try:
        with safe_open(checked(path), framework="pt") as file:
            version = (file.metadata() or {}).get("format")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged ({error}); expected a whole safetensors file") from None
    if version not in FORMATS:
        raise RunError(f"{path} has format {version!r}; this version reads {', '.join(map(repr, FORMATS))}")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise RunError(f"{path} is damaged: {name} holds {float(tensor[~tensor.isfinite()][0])}")
    try:
        tied = tied_names(model)
        whole = model.state_dict()
        model.load_state_dict({**{name: whole[name] for name in tied}, **widened(tensors)})
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RunError(
            f"{path} is of another model than {folder / CONFIG_FILE}: {' '.join(lines[1:3] or lines)}"
        ) from None


def rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, the matrices among them in 8 bits, and their steps."""
    small: dict[str, Tensor] = {}
    for name, value in tensors.items():
        small[name] = value
        if value.dim() >= 2 and value.numel() >= SMALLEST and value.is_floating_point():
            rows = value.flatten(1)
            step = (rows.abs().amax(1, keepdim=True) / 127).clamp(min=torch.finfo(value.dtype).tiny)
            small[name] = (rows / step).round().to(torch.int8).view(value.shape)
            small[name + STEP] = step.squeeze(1)
    return small


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `rounded` gave, as floats again.

    Raises:
        ValueError: steps that do not belong to a matrix of 8 bits.
    """
    wide = {name: value for name, value in tensors.items() if not name.endswith(STEP)}
    for name in tensors.keys() - wide.keys():
        own, step = name.removesuffix(STEP), tensors[name]
        matrix = wide.get(own)
        if matrix is None or matrix.dtype != torch.int8 or step.shape != matrix.shape[:1]:
            raise ValueError(f"{name} belongs to no matrix of 8 bits with {step.numel()} rows")
        wide[own] = (matrix.to(step.dtype).flatten(1) * step.unsqueeze(1)).view(matrix.shape)
    return wide
