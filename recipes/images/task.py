"""Image classification as a task for the engine: shuffled batches, augmentation, loss, validation, test."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from spikeseq.nn import SpikingNetwork
from spikeseq.recipes.engine import Task
from spikeseq.recipes.images.distillation import Teacher
from spikeseq.recipes.shared.batches import shuffled
from spikeseq.recipes.shared.images.augmentation import Augmentation
from spikeseq.recipes.shared.images.data import ImageData, ImageSplit
from spikeseq.recipes.shared.precision import products


@dataclass
class ImageTask(Task):
    """An image classifier on a corpus. See `engine.Task`.

    batch_size: images per batch. seed: of the batches' order. label_smoothing: as `settings.TrainSettings`.
    chunk: sub-steps that gradients reach back; None for all.
    precision: of products in training and validation: "float32", "bf16", or "auto", bf16 where the hardware
        multiplies in it. Tests are always in float32.
    teacher: whose answers are targets beside the labels; None for labels alone.
    """

    model: nn.Module
    corpus: ImageData
    batch_size: int
    seed: int
    augmentation: Augmentation
    label_smoothing: float = 0.0
    precision: str = "auto"
    chunk: int | None = None
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        show_whole(self.model, self.corpus.mean, self.corpus.std)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batches(self, epoch: int) -> list[list[int]]:
        return shuffled(len(self.corpus.splits["train"]), self.batch_size, f"{self.seed} {epoch}")

    def collate(self, batch: list[int], rng: torch.Generator) -> tuple[Tensor, Tensor]:
        split = self.corpus.splits["train"]
        return self.augmentation(split.pixels[batch], rng), split.labels[batch]

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        pixels, labels = batch
        images = self.normalised(pixels, pixels.device)
        with products(self.precision, images.device):
            logits = (model(images) if self.chunk is None else model(images, chunk=self.chunk)).float()
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            return loss if self.teacher is None else self.teacher.loss(logits, images, loss)

    def spike_costs(self) -> dict[str, float] | None:
        """A spike is penalised for the additions that it causes."""
        model, split = self.model, next(iter(self.corpus.splits.values()))
        if not spikes(model):
            return None
        training = model.training
        device = next(model.parameters()).device
        from spikeseq.evaluation.energy.images import additions_per_spike

        costs = additions_per_spike(model.eval(), self.normalised(split.pixels[:1], device))
        model.train(training)
        return costs

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        with products(self.precision, device):
            accuracy = self.accuracy(model, self.corpus.splits["validation"], device)
        return {"score": accuracy, "accuracy": accuracy}

    @torch.no_grad()
    def accuracy(self, model: nn.Module, split: ImageSplit, device: torch.device) -> float:
        """Share of the images that are classified rightly, in percent."""
        batches = self.test_batches(model, split, device)
        right = sum(
            int((answer(model, images, self.seed).argmax(1) == labels).sum()) for images, labels in batches
        )
        return 100 * right / len(split)

    @torch.no_grad()
    def accuracy_by_substep(
        self, model: SpikingNetwork, split: ImageSplit, device: torch.device
    ) -> list[float]:
        """The same for what a spiking network has accumulated after 1, 2, ... T sub-steps."""
        right = torch.zeros(model.substeps, dtype=torch.int64)
        for images, labels in self.test_batches(model, split, device):
            state, done = None, 0
            generator = torch.Generator(device).manual_seed(self.seed)
            while done < model.substeps:
                steps = min(model.piece, model.substeps - done)
                if model.encoding == "direct":
                    out, state = model.advance(images.unsqueeze(0), state, hold=steps, every=True)
                else:
                    out, state = model.advance(model.encode(images, steps, generator), state)
                right[done : done + steps] += (out.argmax(2) == labels).sum(1).cpu()
                done += steps
        return [100 * count / len(split) for count in right.tolist()]

    def test_batches(self, model: nn.Module, split: ImageSplit, device: torch.device) -> Any:
        model.eval()
        steps = min(getattr(model, "substeps", 1), getattr(model, "piece", 1))
        size = max(1, min(4 * self.batch_size, 1000) // steps)
        for start in range(0, len(split), size):
            labels = split.labels[start : start + size].to(device)
            yield self.normalised(split.pixels[start : start + size], device), labels

    def normalised(self, pixels: Tensor, device: torch.device) -> Tensor:
        """Bytes to numbers of mean 0 and deviation 1 over the training images, channels last in memory."""
        return normalised(pixels.to(device), self.corpus.mean, self.corpus.std)


def normalised(pixels: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """Bytes (B, C, H, W) to (x / 255 - mean) / std per channel."""
    images = pixels.to(torch.float32, memory_format=torch.channels_last)
    shift, scale = per_channel(tuple(mean), pixels.device), per_channel(tuple(std), pixels.device)
    return (images / 255 - shift) / scale


@lru_cache(maxsize=16)  # handing numbers to a GPU waits for it
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(-1, 1, 1)


def largest_value(mean: list[float], std: list[float]) -> float:
    """Of any pixel that is `normalised`, positive or negative."""
    return max(max(shift, 1 - shift) / scale for shift, scale in zip(mean, std, strict=True))


def spikes(model: nn.Module) -> TypeGuard[SpikingNetwork]:
    """Whether it runs over sub-steps; an ANN does not."""
    return isinstance(model, SpikingNetwork)


def show_whole(model: nn.Module, mean: list[float], std: list[float]) -> None:
    """Lets Poisson spikes of a network stand for any pixel, so that none is clipped."""
    if spikes(model):
        model.largest = largest_value(mean, std)


def answer(model: nn.Module, images: Tensor, seed: int) -> Tensor:
    """Logits (B, classes). Poisson spikes are drawn by the seed: an image always gets the same answer."""
    if not spikes(model):
        return model(images)  # type: ignore[no-any-return]
    return model(images, generator=torch.Generator(images.device).manual_seed(seed))  # type: ignore[no-any-return]
