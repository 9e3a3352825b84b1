"""Gestures as they happen: events in, in chunks of any size; after every frame, scores for every class."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...checks import positive_int, strings
from .frames import Encoding, FrameStream
from .networks import RecurrentNet, State, VotingNet


@dataclass(frozen=True)
class Decision:
    """What a network takes a gesture for when a frame is complete.

    label: the likeliest class. score: its share. scores: of all classes, they add up to 1.
    events: that had come by then. ms: since the first event.
    """

    label: str
    score: float
    scores: dict[str, float]
    events: int
    ms: float


class GestureStream:
    """A gesture network that listens to an event camera.

    Its decisions are those of the same frames in one batch, however the events are cut.

    Args:
        model: in evaluation mode; only read.
        encoding: what the model was trained on; "frames", as the blocks of a recording end with it.
        classes: names, in the order of the model's outputs.
        window: frames whose votes a decision averages; None for all since the start. Membranes go on. A
            camera that watches one gesture after another needs it.
    Raises:
        TypeError, ValueError: naming the argument and what is accepted.
    """

    def __init__(
        self,
        model: VotingNet | RecurrentNet,
        encoding: Encoding,
        classes: Sequence[str],
        *,
        window: int | None = None,
    ) -> None:
        if encoding.encoding != "frames":
            raise ValueError(f"encoding must be 'frames' for a stream of events, got {encoding.encoding!r}")
        if window is not None and not isinstance(model, VotingNet):
            raise TypeError("window counts votes, which a GRU does not give; expected None")
        if model.training:
            raise ValueError("model must be in evaluation mode; call model.eval()")
        self.model, self.classes = model, strings("classes", classes)
        with torch.no_grad():
            outputs = model(torch.zeros(1, 1, encoding.channels, encoding.size, encoding.size)).shape[-1]
        if outputs != len(self.classes):
            raise ValueError(f"classes are {len(self.classes)}, the model has {outputs} outputs")
        if len(set(self.classes)) < outputs:
            raise ValueError(f"classes must have different names, got {self.classes}")
        self.frames = FrameStream(encoding)
        self.state: State | None = None
        self.recent: deque[Tensor] | None = None
        if window is not None:
            self.recent = deque(maxlen=positive_int("window", window))

    def push(self, events: np.ndarray) -> list[Decision]:
        """A decision for every frame that these events complete, often none.

        Args:
            events: (N,) with fields x, y, p and t in µs, in order of time, none earlier than one before.
        Raises:
            TypeError: something else than such an array.
            ValueError: naming the first event that is not so. The stream is then as it was.
        """
        frames = self.frames.push(events)
        return self._decide(frames, self.frames.ends)

    @torch.no_grad()
    def _decide(self, frames: np.ndarray, ends: list[tuple[int, float]]) -> list[Decision]:
        decisions = []
        for frame, (events, ms) in zip(torch.from_numpy(frames), ends, strict=True):
            shares = self._scores(frame.float()[None, None]).softmax(0).tolist()
            best = max(range(len(shares)), key=shares.__getitem__)
            named = dict(zip(self.classes, shares, strict=True))
            decisions.append(Decision(self.classes[best], shares[best], named, events, ms))
        return decisions

    def _scores(self, frame: Tensor) -> Tensor:
        if self.recent is None:
            scores, self.state = self.model.advance(frame, self.state)
            return scores[0, 0]
        vote, state = self.model.votes(frame, self.state)  # type: ignore[operator]
        self.state = state
        self.recent.append(vote[0, 0])
        return torch.stack(tuple(self.recent)).mean(0)


def latency(decisions: Sequence[Decision], label: str) -> Decision | None:
    """The first of the decisions from which on all are right: its `events` and `ms` are the latency.

    None where the last one is wrong.
    """
    right = [decision.label == label for decision in decisions]
    number = stable_from(right)
    return None if number is None else decisions[number]


def stable_from(right: Sequence[bool]) -> int | None:
    """Number of the first decision from which on all are right; None where the last one is wrong."""
    wrong = [number for number, one in enumerate(right) if not one]
    first = wrong[-1] + 1 if wrong else 0
    return first if first < len(right) else None
