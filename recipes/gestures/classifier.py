"""A trained gesture classifier, as `spikeseq.load(run)` returns it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeseq.models.gesture import Encoding, GestureStream
from spikeseq.models.gesture.frames import check_events, check_fields
from spikeseq.recipes.gestures.data import GESTURES_FILE, GestureData
from spikeseq.recipes.gestures.files import read_recording
from spikeseq.recipes.gestures.frames import encode, encoding_of
from spikeseq.recipes.gestures.models import gesture_network, one_by_one
from spikeseq.recipes.gestures.task import GestureTask
from spikeseq.recipes.manifest import RunError, read_json, reason
from spikeseq.recipes.plain import Settings
from spikeseq.recipes.runs import CONFIG_FILE
from spikeseq.recipes.shared.opened import Opened, Prediction, checked_classes, predictions


@dataclass
class GestureClassifier(Opened):
    """A trained gesture classifier, as `spikeseq.load(run)` returns it.

    encoding: what recordings become before the network sees them.
    """

    model: Any
    classes: list[str]
    encoding: Encoding
    config: Settings
    classifies = True
    reads = "path"

    def predict(self, recordings: Iterable[str | Path | np.ndarray]) -> list[Prediction]:
        """One prediction a recording, in order.

        Args:
            recordings: paths of .npy files as tonic keeps them, (N, 4) of x, y, polarity and time in ms; or
                events with fields x, y, p and t in µs.
        Raises:
            TypeError, ValueError: something else, or a recording that is damaged, empty or out of order.
        """
        if isinstance(recordings, str | Path | np.ndarray) or not isinstance(recordings, Iterable):
            raise TypeError(f"recordings must be a list, got one {type(recordings).__name__}")
        recordings = list(recordings)
        for one in recordings:
            if not isinstance(one, str | Path | np.ndarray):
                got = type(one).__name__
                raise TypeError(f"recordings must be paths or arrays of events; one of them is {got}")
        return [predictions(self.classes, self.trace(one)[-1:])[0] for one in recordings]

    @torch.no_grad()
    def trace(self, recording: str | Path | np.ndarray) -> Tensor:
        """Scores (frames, classes) after every frame of a recording, as `predict` takes them."""
        if isinstance(recording, np.ndarray):
            events, origin = recording, "the recording"
            check_fields(events, origin)
            if len(events):
                x, y, p, t = (events[name] for name in "xypt")
                check_events(x, y, p, t, origin=origin, unit=1000)
        else:  # checked where it is read
            events, origin = read_recording(Path(recording)), str(recording)
        frames = torch.from_numpy(encode(events, self.encoding, origin))
        data = GestureData("", self.classes, self.encoding, {})
        task = GestureTask(self.model, data, 1, 0, one_by_one=one_by_one(self.config))
        return self.model(task.sequence(frames.unsqueeze(0)))[:, 0].float()  # type: ignore[no-any-return]

    def draw(self, recording: str | Path | np.ndarray, path: Path) -> None:
        """A picture of `trace`."""
        from spikeseq.recipes.gestures.plots import plot_scores

        plot_scores(path, self.trace(recording), self.classes, self.encoding.frame_ms)

    def check_trace(self) -> None:
        """Raises TypeError if there is one score a recording."""
        if self.encoding.encoding == "blocks" and not one_by_one(self.config):
            raise TypeError("a recording is one image for this model; expected a run of --method frames")

    def stream(self, window: int | None = None) -> GestureStream:
        """A listener to events as they arrive; see `spikeseq.models.gesture.GestureStream`."""
        return GestureStream(self.model, self.encoding, self.classes, window=window)


def open_gesture_classifier(folder: Path, config: Settings) -> GestureClassifier:
    """The classifier of a run folder, its weights still to be loaded."""
    path = folder / GESTURES_FILE
    try:
        about = read_json(path)
        classes, encoding = checked_classes(about["classes"]), Encoding(**about["encoding"])
        if encoding != encoding_of(config.data):
            raise ValueError(f"{encoding} is not what {CONFIG_FILE} says, {encoding_of(config.data)}")
        model = gesture_network(config, len(classes))
        return GestureClassifier(model.eval(), classes, encoding, config)
    except RunError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {reason(error)}") from None
