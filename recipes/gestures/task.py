"""Gesture classification as a task for the engine: moved recordings, loss after every frame, figures."""

from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.models.gesture.live import stable_from
from spikeseq.recipes.engine import Task
from spikeseq.recipes.gestures.data import GestureData, GestureSplit
from spikeseq.recipes.gestures.frames import shifted
from spikeseq.recipes.gestures.sample import CLASSES
from spikeseq.recipes.shared.batches import shuffled
from spikeseq.recipes.shared.precision import products

DIRECTIONS = [(CLASSES.index(f"{arm} arm cw"), CLASSES.index(f"{arm} arm ccw")) for arm in ("Right", "Left")]
"""Pairs of rotations that differ only in time."""


@dataclass
class GestureTask(Task):
    """A gesture classifier on a corpus. See `engine.Task`.

    batch_size: recordings per batch. seed: of the batches' order. shift: pixels of the sensor that training
    recordings move at most. label_smoothing, precision: as `settings.TrainSettings`; tests are in float32.
    one_by_one: the blocks of a recording are shown one after another, not as the channels of one image.
    """

    model: nn.Module
    corpus: GestureData
    batch_size: int
    seed: int
    shift: int = 0
    label_smoothing: float = 0.0
    precision: str = "auto"
    one_by_one: bool = False

    def batches(self, epoch: int) -> list[list[int]]:
        return shuffled(len(self.corpus.splits["train"]), self.batch_size, f"{self.seed} {epoch}")

    def collate(self, batch: list[int], rng: torch.Generator) -> tuple[Tensor, Tensor]:
        split = self.corpus.splits["train"]
        frames = split.frames[batch]
        most = self.shift * self.corpus.encoding.size // 128
        if most:
            frames = shifted(frames, *torch.randint(-most, most + 1, (2, len(batch)), generator=rng))
        return self.sequence(frames), split.labels[batch]

    def sequence(self, frames: Tensor) -> Tensor:
        """Encoded recordings as float (L, B, C, size, size), channels last in memory."""
        if self.corpus.encoding.encoding == "frames":
            rows = frames.transpose(0, 1)
        elif self.one_by_one:
            rows = frames.transpose(0, 1).unsqueeze(2)
        else:
            rows = frames.unsqueeze(0)
        turned = rows.flatten(0, 1).to(torch.float32, memory_format=torch.channels_last)
        return turned.unflatten(0, rows.shape[:2])

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean over frames: a decision is wanted after each, the sooner right the better."""
        frames, labels = batch
        with products(self.precision, frames.device):
            scores = model(frames).float()
        wanted = labels.expand(len(scores), -1).flatten()
        return nn.functional.cross_entropy(scores.flatten(0, 1), wanted, label_smoothing=self.label_smoothing)

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        split = self.corpus.splits["validation"]
        with products(self.precision, device):
            scores = self.scores(model, split, device)
        right = 100 * float((scores[-1].argmax(1) == split.labels).double().mean())
        # Several epochs have the same share of so few recordings: the surest of them is kept.
        sure = float(scores[-1].softmax(1)[torch.arange(len(split)), split.labels].mean())
        return {"score": right + sure, "accuracy": right}

    @torch.no_grad()
    def scores(self, model: nn.Module, split: GestureSplit, device: torch.device) -> Tensor:
        """After each frame (L, N, classes)."""
        model.eval()
        parts = split.frames.split(self.batch_size)
        return torch.cat([model(self.sequence(part).to(device)).float().cpu() for part in parts], 1)

    def figures(self, model: nn.Module, split: GestureSplit, device: torch.device) -> dict[str, Any]:
        """Accuracies in percent, all in all and after each frame; the latency to a stable right decision."""
        scores = self.scores(model, split, device)
        right = scores.argmax(2) == split.labels
        curve = (100 * right.double().mean(1)).tolist()
        found: dict[str, Any] = {"accuracy": round(curve[-1], 3)}
        between = direction_accuracy(scores[-1], split.labels)
        if between is not None:
            found["accuracy_direction"] = round(between, 3)
        if len(curve) > 1:
            found["accuracy_by_frame"] = [round(share, 3) for share in curve]
            found["frame_ms"] = self.corpus.encoding.frame_ms
            found["latency"] = self.latency(right, split)
        return found

    def latency(self, right: Tensor, split: GestureSplit) -> dict[str, float | None]:
        """Medians, over recordings that end right, until the decision is right and stays so.

        Args:
            right: (L, N), whether the decision after each frame is.
        """
        stable = [(row, stable_from(right[:, row].tolist())) for row in range(right.shape[1])]
        until = [(row, frame) for row, frame in stable if frame is not None]
        if not until:
            return {"frames": None, "events": None, "ms": None}
        frames = median(frame + 1 for _, frame in until)
        window = self.corpus.encoding.frame_ms
        return {
            "frames": frames,
            "events": median(int(split.arrived[row, frame]) for row, frame in until),
            "ms": None if window is None else round(frames * window, 3),
        }


def direction_accuracy(scores: Tensor, labels: Tensor) -> float | None:
    """Share of arm rotations, in percent, whose direction is the likelier of the two; None without any.

    Args:
        scores: (N, classes). labels: (N,).
    """
    right = total = 0
    for pair in DIRECTIONS:
        for place, label in enumerate(pair):
            of_both = scores[labels == label][:, list(pair)]
            right, total = right + int((of_both.argmax(1) == place).sum()), total + len(of_both)
    return 100 * right / total if total else None
