"""What a training goes on from: `resume.pt`, its checksum in its first line, and the one before beside it.

A file whose checksum is wrong, or that torch cannot read, is damaged, and the one before is taken. One that
is whole but of another model is refused. Tensors are compared with those of the model and the optimiser
before they are handed on: neither of them looks at what it is given.
"""

import hashlib
import io
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.files import remove, rename, write_whole
from spikeseq.recipes.manifest import reason

RESUME_FILE, PREVIOUS_FILE = "resume.pt", "resume.previous.pt"
BEGINNING = b"spikeseq resume 1 "
ZIP = b"PK\x03\x04"
"""What files of versions without checksums begin with: torch's own."""


class DamagedError(ValueError):
    """A file that cannot be gone on from."""


def can_resume(folder: Path) -> bool:
    """Whether a folder holds something to go on from."""
    return (folder / RESUME_FILE).exists() or (folder / PREVIOUS_FILE).exists()


def keep(folder: Path, saved: dict[str, Any]) -> None:
    """Writes `resume.pt`; the one that is there becomes `resume.previous.pt`."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    content = buffer.getbuffer()
    digest = hashlib.sha256(content).hexdigest().encode()
    path = folder / RESUME_FILE
    write_whole(path, b"".join((BEGINNING, digest, b"\n", content)), former=folder / PREVIOUS_FILE)


def read(path: Path, signed: bool = False) -> dict[str, Any]:
    """What `keep` wrote or, unless `signed`, a version without checksums did; tensors on the CPU, no code.

    Raises:
        DamagedError: anything else.
    """
    if path.exists() and not path.is_file():
        raise DamagedError("it is no file")  # a pipe could be read for ever
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DamagedError("it is missing") from None
    except OSError as error:
        raise DamagedError(f"it cannot be read ({error.strerror})") from None
    if content.startswith(BEGINNING):
        first, _, content = content.partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != first.removeprefix(BEGINNING):
            raise DamagedError("its checksum is not that of its content")
    elif not content.startswith(ZIP):
        raise DamagedError("it is no file of a training")
    elif signed:
        raise DamagedError("it has no checksum, as the one before has")
    try:
        saved = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        if not isinstance(saved, dict):
            raise ValueError(f"it holds {type(saved).__name__}")
        return saved
    except Exception as error:  # torch's readers have many
        raise DamagedError(reason(error)) from None


def has_checksum(path: Path) -> bool:
    """Whether a file says that it has one."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(BEGINNING)) == BEGINNING
    except OSError:
        return False


def go_on(folder: Path, restore: Callable[[dict[str, Any]], Any], say: Callable[[str], None]) -> Path:
    """Gives what was kept last, or if that is damaged what was kept before, to `restore`; which file it was.

    Raises:
        ValueError: both are damaged; or `restore` finds that it is of another model.
    """
    path, previous = folder / RESUME_FILE, folder / PREVIOUS_FILE
    try:
        # Who once writes checksums goes on to: without one it came from elsewhere.
        saved, used = read(path, signed=has_checksum(previous)), path
    except DamagedError as damage:
        try:
            saved, used = read(previous), previous
        except DamagedError:
            raise ValueError(f"{path} is damaged: {damage}; begin anew in another --out") from None
        say(f"{path} is damaged ({damage}); going on from {PREVIOUS_FILE}, the one before")
    try:
        restore(saved)
    except Exception as error:
        raise ValueError(f"{used} does not fit this model and configuration: {reason(error)}") from None
    return used


def settle(used: Path) -> None:
    """Puts the file that was gone on from in its place: a damaged one must not take that of a whole one."""
    if used.name == PREVIOUS_FILE:
        rename(used, used.with_name(RESUME_FILE))


def forget(folder: Path) -> None:
    """Of a finished run."""
    for name in (RESUME_FILE, PREVIOUS_FILE):
        remove(folder / name)


def check_alike(found: Any, like: Any, name: str, optional: Iterable[str] = ()) -> None:
    """That two nested dicts and lists have the same names, lengths, kinds and shapes, and finite numbers.

    optional: names of dicts that need not be there; "*": none need.

    Raises:
        ValueError: naming the place.
    """
    if isinstance(like, Tensor):
        if not isinstance(found, Tensor) or found.layout != torch.strided:
            raise ValueError(f"{name} is no tensor")
        if (found.shape, found.dtype) != (like.shape, like.dtype):
            one, other = (f"{tuple(tensor.shape)} of {tensor.dtype}" for tensor in (found, like))
            raise ValueError(f"{name} is {one}, not {other}")
        if not found.isfinite().all():
            raise ValueError(f"{name} holds {float(found[~found.isfinite()][0])}")
    elif isinstance(like, dict):
        check_names(found, like, name, optional)
        for key, value in found.items():
            check_alike(value, like[key], f"{name}.{key}", optional)
    elif isinstance(like, list | tuple):
        if type(found) is not type(like) or len(found) != len(like):
            raise ValueError(f"{name} is {found!r:.60}; expected {len(like)} values")
        for place, pair in enumerate(zip(found, like, strict=True)):
            check_alike(*pair, f"{name}.{place}", optional)
    elif type(like) in (int, float):
        if type(found) not in (int, float) or not math.isfinite(found):
            raise ValueError(f"{name} is {found!r:.60}; expected a number")
    elif type(found) is not type(like):
        raise ValueError(f"{name} is {found!r:.60}; expected {type(like).__name__}")


def check_names(found: Any, like: dict[Any, Any], name: str, optional: Iterable[str] = ()) -> None:
    """That `found` is a dict with the same keys."""
    if not isinstance(found, dict):
        raise ValueError(f"{name} is {found!r:.60}; expected names and values")
    for key in found:
        if key not in like:
            raise ValueError(f"{name} has {key!r:.60}, which is unknown")
    for key in like:
        if key not in found and "*" not in optional and key not in optional:
            raise ValueError(f"{name} has no {key!r:.60}")


def check_module(found: Any, module: nn.Module, name: str) -> None:
    """That a state is one of the module. Raises as `check_alike`."""
    check_alike(found, dict(module.state_dict()), name)


def check_adam(found: Any, optimizer: Any, name: str) -> None:
    """That a state is one of an Adam or AdamW of these parameters. Raises as `check_alike`."""
    like = optimizer.state_dict()
    check_names(found, like, name)
    check_alike(found["param_groups"], like["param_groups"], f"{name}.param_groups", optional="*")
    for one, other in zip(found["param_groups"], like["param_groups"], strict=True):
        if one.get("params") != other["params"]:
            raise ValueError(f"{name}.param_groups are of other parameters")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    check_names(found["state"], dict.fromkeys(range(len(parameters))), f"{name}.state", optional="*")
    for index, values in found["state"].items():
        own, where = parameters[index].detach(), f"{name}.state.{index}"
        check_alike(values, {"step": torch.zeros(()), "exp_avg": own, "exp_avg_sq": own}, where)
        if values["step"] < 0 or (values["exp_avg_sq"] < 0).any():
            raise ValueError(f"{where} holds a value below 0")
