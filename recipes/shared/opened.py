"""What `spikeseq.load` returns: a trained model, and what it can do for the command line and a report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass
class Prediction:
    """What a classifier says of one input: `label` (a class's name), its probability, and all of them."""

    label: str
    score: float
    scores: dict[str, float]


@dataclass
class Seen:
    """What a report shows of a model on one text.

    Args:
        tokens: what the model read, one per column of the raster of its spikes.
        trace: words, logits (words, classes) after each of them, and the classes' names.
        attention: words in, words out and weights (out, in).
        surprise: tokens, the bits of each, and what some neurons hold after each (tokens,), by name.
    """

    tokens: list[str] = field(default_factory=list)
    trace: tuple[list[str], Tensor, list[str]] | None = None
    attention: tuple[list[str], list[str], Tensor] | None = None
    surprise: tuple[list[str], list[float], dict[str, Tensor]] | None = None


class Opened:
    """A trained model of a run folder.

    A subclass says what it does. `translates`: it has `translate_stream(lines, ...)`, `attention(line)`.
    `classifies`: it has `predict(inputs)`, one `Prediction` each. `writes`: `generate(prompt, ...)` and
    `score(text)`. `reads`: what a line of standard input is to it, "text" or "path", that of a file. It may
    draw how its answer forms: `check_trace` and `draw`.
    """

    model: Any
    config: Any
    translates: bool = False
    classifies: bool = False
    writes: bool = False
    reads: str = "text"

    def vectors(self) -> tuple[Any, Tensor]:
        """The vocabulary and the rows of the embedding of words. Raises TypeError if there is none."""
        raise TypeError(f"model {self.config.model.name!r} has no embedding of words")

    def check_trace(self) -> None:
        """Raises TypeError if there is nothing to draw: no answer that forms step by step."""
        raise TypeError(f"model {self.config.model.name!r} has no answer that forms step by step to draw")

    def draw(self, line: str, path: Path) -> None:
        """A picture of how the answer to a line of standard input forms."""
        self.check_trace()

    def graph(self) -> tuple[Any, tuple[int, ...]]:
        """What a graph of layers can hold, as `exchange.to_nir` takes it, and the shape of one input.

        Raises:
            TypeError: nothing.
        """
        raise TypeError(f"model {self.config.model.name!r} is no graph of spiking layers")

    def see(self, text: str) -> Seen:
        """What a report shows of the model on a text; called once, while its spikes are watched."""
        return Seen()


def checked_classes(found: Any) -> list[str]:
    """The names of classes that a run folder keeps. Raises ValueError for something else."""
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(name, str) for name in found):
        raise ValueError(f"the classes are {found!r:.60}; expected a list of two or more names")
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ValueError(f"the class {twice!r} is there twice; expected different names")
    return found


def predictions(classes: Sequence[str], logits: Tensor) -> list[Prediction]:
    """One prediction for each row of logits (N, classes)."""
    found = []
    for row in logits.softmax(1).tolist():
        best = max(range(len(row)), key=row.__getitem__)
        found.append(Prediction(classes[best], row[best], dict(zip(classes, row, strict=True))))
    return found
