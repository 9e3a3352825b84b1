"""What a training goes on from: `resume.pt`, with its checksum and without."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.reliability.cases import Target


class Points(nn.Module):
    """A model of a few numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def parts_of(model: nn.Module) -> dict[str, Any]:
    """What the engine keeps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    return {"model": model, "optimizer": optimizer, "schedule": schedule, "average": average}


def stepped(parts: dict[str, Any]) -> Any:
    """One update, and the weights behind it."""
    x = torch.arange(12.0).view(4, 3)
    parts["model"](x).square().sum().backward()
    parts["optimizer"].step()
    parts["average"].update_parameters(parts["model"])
    states = [parts["model"].state_dict(), parts["average"].state_dict()]
    return [[float(value.double().sum()) for value in state.values()] for state in states]


def of_resuming(place: Path) -> Iterator[Target]:
    """`resume.pt` with its checksum and a former one, and as versions before checksums wrote it."""
    from spikeseq.recipes import resume
    from spikeseq.recipes.engine import Progress, read_state, write_state
    from spikeseq.recipes.history import State

    def read(folder: Path) -> Any:
        parts = parts_of(Points())
        best = {name: value.clone() for name, value in parts["model"].state_dict().items()}
        state, _ = read_state(folder, parts, best, Progress())
        return [state.epoch, stepped(parts)]

    for kind in ("resume.pt", "resume.pt of before"):
        folder = place / kind.replace(" ", "-")
        folder.mkdir(parents=True)
        parts = parts_of(Points())
        record = {"loss": 0.5, "validation": {"score": 1.0}, "seconds": 0.1}
        for epoch in (1, 2):
            stepped(parts)
            best = {name: value.clone() for name, value in parts["model"].state_dict().items()}
            history = [{"epoch": i + 1, **record} for i in range(epoch)]
            write_state(folder, parts, best, State(1, epoch, 1.0, 0, history))
        if "before" in kind:
            saved = io.BytesIO()
            torch.save(resume.read(folder / resume.RESUME_FILE), saved)
            (folder / resume.RESUME_FILE).write_bytes(saved.getvalue())
            (folder / resume.PREVIOUS_FILE).unlink()
        else:  # the one before is equal, so that a fall back is told from another state
            shutil.copy(folder / resume.RESUME_FILE, folder / resume.PREVIOUS_FILE)
        yield Target(kind, folder, (resume.RESUME_FILE,), read, strict="before" not in kind)
