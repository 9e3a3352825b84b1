"""A network that learnt digits from images and sounds, as `spikeseq.load(run)` returns it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeseq.recipes.multimodal.cochlea import CHANNELS, cochleagram
from spikeseq.recipes.multimodal.data import SIZE, read_digits
from spikeseq.recipes.multimodal.model import PairNetwork, pair_network
from spikeseq.recipes.multimodal.sounds import read_wav
from spikeseq.recipes.plain import Settings
from spikeseq.recipes.shared.images.pixels import decode_images
from spikeseq.recipes.shared.opened import Opened, Prediction


@dataclass
class PairClassifier(Opened):
    """A trained network. classes: their names."""

    model: PairNetwork
    classes: list[str]
    config: Settings
    classifies = True
    reads = "path"

    @torch.no_grad()
    def predict(self, inputs: Any) -> list[Prediction]:
        """One prediction an input, in order; its score is the class's share of all classes' scores.

        Args:
            inputs: paths of wav files and of image files, which are brought to 28 x 28; or pairs (image,
                sound) of such paths. What is not given is missing: its ensemble hears or sees nothing.
        Raises:
            TypeError, ValueError: something else; a file that cannot be read; an input of a kind that the
                model has no ensemble for.
        """
        if isinstance(inputs, str | Path) or not isinstance(inputs, Sequence):
            raise TypeError(
                f"inputs must be a list of paths, or of pairs of them; got {type(inputs).__name__}"
            )
        found = []
        for given in inputs:
            pixels, activity = self._read(given)
            row = self.model(pixels, activity)[0]
            shares = row.clamp_min(0) / row.clamp_min(0).sum().clamp_min(1e-12)
            best = int(row.argmax())
            scores = dict(zip(self.classes, shares.tolist(), strict=True))
            found.append(Prediction(self.classes[best], float(shares[best]), scores))
        return found

    def check_trace(self) -> None:
        """Raises TypeError: an image is there at once, and a sound is cut into parts."""
        raise TypeError("an image or a sound is there at once; texts and events are drawn as they come")

    def _read(self, given: Any) -> tuple[Tensor, Tensor]:
        paths = [given] if isinstance(given, str | Path) else list(given)
        pixels = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.uint8)
        frames = self.config.model.frames
        activity = torch.zeros(1, frames, CHANNELS)
        sees, hears = self.model.uses
        for path in map(Path, paths):
            sound = path.suffix.lower() == ".wav"
            if not (hears if sound else sees):
                kind, name = "sound" if sound else "image", self.config.model.name
                raise ValueError(f"{path}: a {kind}, but model {name!r} has no ensemble for it")
            if sound:
                samples, rate = read_wav(path)
                heard: np.ndarray = cochleagram(samples, rate, frames, where=str(path))
                activity = torch.from_numpy(heard)[None]
            else:
                pixels = decode_images([(str(path), path)], 1, 1, SIZE)[0]
        return pixels, activity


def open_pair_classifier(folder: Path, config: Settings) -> PairClassifier:
    """The classifier of a run folder, its weights still to be loaded."""
    classes = read_digits(folder)
    return PairClassifier(pair_network(config, len(classes)).eval(), classes, config)
