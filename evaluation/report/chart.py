"""What a chart of the page is made of. All places are percent of the plot, so that it fits any width.

`chart.html` draws it as SVG in the colours of the page, whose letters keep their size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple
from unicodedata import combining, east_asian_width

LETTER = 7.0  # pixels that a letter of a label takes at most, on the whole


class Tick(NamedTuple):
    at: float
    text: str


class Path(NamedTuple):
    """A line. d: in SVG's letters, percent of the plot. kind: a class of the page's style."""

    d: str
    kind: str
    says: str = ""


class Point(NamedTuple):
    """A mark: a circle where it spikes, a square where it does not. small: beside the point of the chart."""

    x: float
    y: float
    kind: str
    says: str
    small: bool = False


class Text(NamedTuple):
    """Words at a place, moved by pixels. anchor: of SVG. roomy: shown on wide pages only."""

    x: float
    y: float
    text: str
    dx: float = 0.0
    dy: float = 0.0
    anchor: str = "start"
    kind: str = ""
    roomy: bool = False


@dataclass
class Chart:
    """Axes and what is drawn between them.

    Args:
        title, alternative: in words, for those who do not see it.
        x, y: what the axes show. width: the least, in pixels, at which it can be read. height: in pixels.
        upright: whether the letters at the x axis stand, for words. foot: pixels below the plot, if
            not those of a line. named: whether names stand on the right.
        rows: size of the plot in the units of its paths, if these are not percent.
    """

    title: str
    alternative: str
    x: str = ""
    y: str = ""
    width: int = 0
    height: int = 280
    upright: bool = False
    foot: int = 0
    named: bool = False
    rows: tuple[int, int] = (100, 100)
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


class Span(NamedTuple):
    """A piece of a strip, from one percent to another; with a mark at its end, if asked."""

    start: float
    end: float
    kind: str
    mark: bool = False


class Strip(NamedTuple):
    """A row of a table of bars: name, kind (its mark), the bar, and values in words."""

    name: str
    kind: str
    spans: list[Span]
    values: list[str]


@dataclass
class Strips:
    """A table whose second column is drawn.

    Args:
        columns: its heads: of the name, the bar and the values. grid: percent between lines of the bars.
        note: below it.
    """

    caption: str
    columns: list[str]
    rows: list[Strip]
    grid: float = 0.0
    note: str = ""


class Scale:
    """From values to percent of an axis, with ticks at round values.

    Args:
        low, high: that must fit in. turned: larger values come first. whole: ticks at whole numbers only.
        room: part of the range left free at both ends.
    """

    def __init__(
        self, low: float, high: float, *, turned: bool = False, whole: bool = False, room: float = 0.08
    ) -> None:
        from matplotlib.ticker import MaxNLocator

        span = (high - low) or abs(high) * 0.1 or 1.0
        self.low, self.high = low - room * span, high + room * span
        self.turned = turned
        values = [
            float(one)
            for one in MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
        ]
        step = min((b - a for a, b in pairwise(values)), default=1.0)
        self.ticks = [Tick(self(one), shown(one, step)) for one in values if self.low <= one <= self.high]

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return 100 * (1 - share if self.turned else share)


def shown(value: float, step: float) -> str:
    """A value of an axis with as many digits as tell it from the next."""
    digits = next((n for n in range(8) if abs(round(step, n) - step) < step * 1e-6), 8)
    return f"{value + 0.0:.{digits}f}" if abs(value) < 1e5 else f"{value:.3g}"


def line(xs: Sequence[float], ys: Sequence[float], kind: str, says: str = "") -> Path:
    """A line through points, in percent."""
    return Path("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in zip(xs, ys, strict=True)), kind, says)


def width_of(text: str) -> float:
    """Pixels that a label takes, roughly: letters of Chinese, Japanese and Korean take two places."""
    places = sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
    return LETTER * places


def shortened(text: str, most: int = 24) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def apart(heights: Mapping[str, float], least: float) -> dict[str, float]:
    """Heights in percent moved down as little as keeps labels `least` apart, and within the plot."""
    found: dict[str, float] = {}
    last = -least
    for name, height in sorted(heights.items(), key=lambda one: one[1]):
        last = found[name] = max(height, last + least)
    over = max(0.0, last - 100)
    last = 100 + least
    for name in reversed(found):  # from the bottom up again
        last = found[name] = min(found[name], last - least) if over else found[name]
    return found
