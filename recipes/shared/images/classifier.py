"""A classifier of images whose scores are no logits, as `spikeseq.load(run)` returns it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.recipes.plain import Settings
from spikeseq.recipes.runs import RunError
from spikeseq.recipes.shared.images.data import IMAGES_FILE
from spikeseq.recipes.shared.images.kept import read_images
from spikeseq.recipes.shared.images.pixels import decode_images
from spikeseq.recipes.shared.opened import Opened, Prediction


@dataclass
class PixelClassifier(Opened):
    """A trained model whose answers come from spikes of neurons that learnt without labels.

    model: uint8 images to scores (N, classes). classes: their names. channels, size: of an image.
    """

    model: Any
    classes: list[str]
    channels: int
    size: int
    config: Settings
    classifies = True
    reads = "path"

    @torch.no_grad()
    def predict(self, images: Any) -> list[Prediction]:
        """One prediction an image, in order; its score is the class's share of all scores above zero.

        Args:
            images: paths of image files, which are brought to the size of the training images; or pixels,
                uint8 (N, C, size, size).
        Raises:
            TypeError, ValueError: something else, a file that is no image, pixels of another shape.
        """
        pixels = images if isinstance(images, Tensor) else self._read(images)
        wanted = (self.channels, self.size, self.size)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != wanted:
            got = f"{pixels.dtype} {tuple(pixels.shape)}"
            raise ValueError(f"images must be uint8 (N, {', '.join(map(str, wanted))}), got {got}")
        found = []
        for row in self.model(pixels) if len(pixels) else ():
            shares = row.clamp_min(0) / row.clamp_min(0).sum().clamp_min(1e-12)
            best = int(row.argmax())
            scores = dict(zip(self.classes, shares.tolist(), strict=True))
            found.append(Prediction(self.classes[best], float(shares[best]), scores))
        return found

    def check_trace(self) -> None:
        """Raises TypeError: an image is there at once."""
        raise TypeError("an image is there at once; texts and events are drawn as they come")

    def _read(self, paths: Any) -> Tensor:
        if isinstance(paths, str | Path) or not isinstance(paths, Sequence):
            raise TypeError(
                f"images must be a list of paths, or a Tensor of uint8; got {type(paths).__name__}"
            )
        named = [(str(path), Path(path)) for path in paths]
        if not named:
            return torch.empty(0, self.channels, self.size, self.size, dtype=torch.uint8)
        return decode_images(named, len(named), self.channels, self.size)[0]


def open_pixel_classifier(
    folder: Path, config: Settings, make: Callable[[int, int, int], nn.Module]
) -> PixelClassifier:
    """The classifier of a run folder, its weights still to be loaded.

    Args:
        make: from the numbers of classes and channels, and the side of an image, to the model.
    """
    about = read_images(folder)
    classes, channels, size = (about[key] for key in ("classes", "channels", "size"))
    try:
        model = make(len(classes), channels, size)
    except (ValueError, TypeError, RuntimeError) as error:
        raise RunError(f"{folder / IMAGES_FILE} is damaged: {error}") from None
    return PixelClassifier(model.eval(), classes, channels, size, config)
