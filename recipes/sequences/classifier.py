"""A trained classifier of sequences, as `spikeseq.load(run)` returns it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq.checks import positive_int, strings
from spikeseq.models.sequence import SequenceClassifier
from spikeseq.recipes.plain import Settings
from spikeseq.recipes.sequences.data import Reading, bytes_of, grey_rows, read_kept
from spikeseq.recipes.sequences.settings import of_pixels
from spikeseq.recipes.sequences.task import new_model
from spikeseq.recipes.shared.images.pixels import decode_images
from spikeseq.recipes.shared.opened import Opened, Prediction, predictions
from spikeseq.recipes.shared.texts.data import clean


@dataclass
class SequenceRun(Opened):
    """See the module."""

    model: SequenceClassifier
    classes: list[str]
    reading: Reading
    config: Settings
    classifies = True

    def __post_init__(self) -> None:
        self.reads = "text" if self.reading.size is None else "path"

    @torch.no_grad()
    def predict(self, inputs: Any, batch_size: int = 64) -> list[Prediction]:
        """One prediction an input, in order.

        Args:
            inputs: texts, of a run on bytes; of one on pixels paths of image files, which are brought to the
                size of the training images.
        Raises:
            TypeError, ValueError: something else, or a file that is no image.
        """
        positive_int("batch_size", batch_size)
        found: list[Prediction] = []
        rows = self.rows(inputs)
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            lengths = torch.tensor([len(one) for one in part])
            padded = torch.nn.utils.rnn.pad_sequence(part)
            x = self.reading(padded, lengths, self.model.front.stride)
            found += predictions(self.classes, self.model(x, lengths=lengths)[0])
        return found

    def rows(self, inputs: Any) -> list[Tensor]:
        """The sequences of some inputs, each uint8 (L,)."""
        if self.reading.size is None:
            longest = self.config.data.longest
            return [bytes_of(clean(text), longest) for text in strings("texts", inputs)]
        if isinstance(inputs, str | Path) or not isinstance(inputs, Sequence):
            raise TypeError(f"images must be a list of paths, got {type(inputs).__name__}")
        if not inputs:
            return []
        channels = 1 if self.config.data.recipe == "psmnist" else 3
        named = [(str(path), Path(path)) for path in inputs]
        pixels, _ = decode_images(named, len(named), channels, self.reading.size)
        return list(grey_rows(pixels))

    def check_trace(self) -> None:
        """Raises TypeError: rows are too many to draw."""
        raise TypeError("a sequence has too many rows to draw the answer after each of them")


def open_sequence_run(folder: Path, config: Settings) -> SequenceRun:
    """The classifier of a run folder, its weights still to be loaded."""
    about = read_kept(folder)
    if (about["size"] is None) == of_pixels(config):
        raise ValueError(f"sequences.json is not that of a run of {config.data.recipe}")
    model = new_model(config, len(about["classes"]))
    reading = Reading(about["scale"], about["size"], config.data.permutation)
    return SequenceRun(model.eval(), about["classes"], reading, config)
