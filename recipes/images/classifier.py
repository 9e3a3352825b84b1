"""A trained image classifier, as `spikeseq.load(run)` returns it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.checks import positive_int
from spikeseq.recipes.images.models import empty
from spikeseq.recipes.images.task import answer, normalised, show_whole
from spikeseq.recipes.plain import Settings
from spikeseq.recipes.runs import RunError
from spikeseq.recipes.shared.images.data import IMAGES_FILE
from spikeseq.recipes.shared.images.kept import read_images
from spikeseq.recipes.shared.images.pixels import decode_images
from spikeseq.recipes.shared.opened import Opened, Prediction, predictions


@dataclass
class ImageClassifier(Opened):
    """A trained image classifier, as `spikeseq.load(run)` returns it.

    mean, std: of the training pixels, per channel. channels, size: of an image.
    """

    model: nn.Module
    classes: list[str]
    mean: list[float]
    std: list[float]
    channels: int
    size: int
    config: Settings
    classifies = True
    reads = "path"

    def __post_init__(self) -> None:
        show_whole(self.model, self.mean, self.std)

    @torch.no_grad()
    def predict(self, images: Any, batch_size: int = 64) -> list[Prediction]:
        """One prediction an image, in order.

        Args:
            images: paths of image files, which are brought to the size of the training images; or pixels,
                uint8 (N, C, size, size).
        Raises:
            TypeError, ValueError: something else, a file that is no image, pixels of another shape.
        """
        positive_int("batch_size", batch_size)
        pixels = images if isinstance(images, Tensor) else self._read(images)
        wanted = (self.channels, self.size, self.size)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != wanted:
            got = f"{pixels.dtype} {tuple(pixels.shape)}"
            raise ValueError(f"images must be uint8 (N, {', '.join(map(str, wanted))}), got {got}")
        found: list[Prediction] = []
        for part in pixels.split(batch_size):
            logits = answer(self.model, normalised(part, self.mean, self.std), self.config.seed)
            found += predictions(self.classes, logits)
        return found

    def graph(self) -> tuple[nn.Module, tuple[int, ...]]:
        """The whole network, for normalised pixels; its outputs are summed up."""
        return self.model, (self.channels, self.size, self.size)

    def check_trace(self) -> None:
        """Raises TypeError: an image is there at once."""
        raise TypeError("an image is there at once; texts and events are drawn as they come")

    def _read(self, paths: Any) -> Tensor:
        if isinstance(paths, str | Path):
            raise TypeError("images must be a list of paths, got one path")
        if not isinstance(paths, Iterable):
            got = type(paths).__name__
            raise TypeError(f"images must be a list of paths, or a Tensor of uint8; got {got}")
        for path in (paths := list(paths)):
            if not isinstance(path, str | Path):
                got = type(path).__name__
                raise TypeError(f"images must be a list of paths, or a Tensor of uint8; one of them is {got}")
        named = [(str(path), Path(path)) for path in paths]
        if not named:
            return torch.empty(0, self.channels, self.size, self.size, dtype=torch.uint8)
        return decode_images(named, len(named), self.channels, self.size)[0]


def open_image_classifier(folder: Path, config: Settings) -> ImageClassifier:
    """The classifier of a run folder, its weights still to be loaded."""
    about = read_images(folder)
    try:
        model = empty(config, len(about["classes"]), about["channels"], about["size"])
    except (ValueError, TypeError, RuntimeError) as error:
        raise RunError(f"{folder / IMAGES_FILE} is damaged: {error}") from None
    return ImageClassifier(model.eval(), **about, config=config)
