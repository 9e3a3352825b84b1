"""Score against energy: a point per model, the frontier, and labels where there is room for them."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spikeseq.evaluation.frontier import frontier
from spikeseq.evaluation.report.answer import joules, of_score
from spikeseq.evaluation.report.chart import Chart, Path, Point, Scale, Text, Tick, shortened, width_of
from spikeseq.evaluation.report.models import Model, placed
from spikeseq.recipes.recipe import Recipe

WIDTHS, HIGH = (262, 530, 700), 340  # pixels of the plot: on a phone, on narrow and wide pages; its height
GAP, LINE, MARK = 10, 16, 7  # from a point to its label, a line of letters, half a mark
LEFT, RIGHT, ABOVE, BELOW = (-GAP, 5, "end"), (GAP, 5, "start"), (0, -GAP, "middle"), (0, 22, "middle")
CORNERS = (-4, -GAP, "end"), (4, -GAP, "start"), (4, 22, "start"), (-4, 22, "end")
UP = (LEFT, ABOVE, *CORNERS[:2], RIGHT, *CORNERS[2:], BELOW)
"""Of the frontier: no point lies above and to the left of it, and its line goes down and to the right."""
DOWN = (BELOW, *CORNERS[2:], RIGHT, LEFT, ABOVE, *CORNERS[:2])


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        return (
            self.left < other.right and other.left < self.right
            and self.top < other.bottom and other.top < self.bottom
        )  # fmt: skip


def scatter(models: Sequence[Model], recipe: Recipe, first: Sequence[str] = ()) -> Chart | None:
    """Compute energy on a logarithmic axis, the better score above; None of fewer than two models.

    Args:
        first: names of the models to be labelled before all others but the frontier.
    """
    values = placed(models)
    if len(values) < 2:
        return None
    kinds = {model.name: model.kind for model in models}
    front = frontier(values, lower_is_better=recipe.lower_is_better)
    across, x_ticks = energy_axis([energy for energy, _ in values.values()])
    scores = [score for _, score in values.values()]
    up = Scale(min(scores), max(scores), turned=not recipe.lower_is_better)  # a better score is higher up
    points = {name: (across(energy), up(score)) for name, (energy, score) in values.items()}
    words = {n: f"{n}: {of_score(score, recipe)}, {joules(nj)}" for n, (nj, score) in values.items()}
    what = "accuracy in %" if recipe.points == "points" else recipe.points
    better = ", fewer are higher up" if recipe.lower_is_better else ""
    best = "; ".join(words[name] for name in front)
    return Chart(
        "Score against compute energy",
        f"{len(values)} models. On the frontier, from the cheapest on: {best}.",
        x=f"compute energy per {recipe.unit}, logarithmic →",
        y=f"↑ {what}{better}; up and to the left is better",
        height=HIGH,
        x_ticks=x_ticks,
        y_ticks=up.ticks,
        paths=[Path(steps([points[name] for name in front]), "frontier", "the frontier")],
        points=[
            Point(*points[name], kinds[name], words[name], small=name not in front)
            for name in sorted(values, key=lambda name: name in front)  # the frontier lies on top
        ],
        texts=labels(points, [*front, *first, *values], front),
    )


def energy_axis(values: Sequence[float]) -> tuple["Logarithmic", list[Tick]]:
    """From nJ to percent, and its ticks: at powers of ten, or of a thousand if these are many."""
    scale = Logarithmic(min(values) / 1.6, max(values) * 1.6)
    powers = range(math.ceil(scale.low), math.floor(scale.high) + 1)
    every = 1 if len(powers) <= 5 else 2 if len(powers) <= 9 else 3
    return scale, [Tick(scale(10.0**n), power(n)) for n in powers if n % every == 0]


class Logarithmic:
    """From a value to percent of an axis of logarithms; low, high: its ends, in powers of ten."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = math.log10(low), math.log10(high)
        if self.high - self.low < 1:  # at least one step
            middle = (self.low + self.high) / 2
            self.low, self.high = middle - 0.55, middle + 0.55

    def __call__(self, value: float) -> float:
        return 100 * (math.log10(value) - self.low) / (self.high - self.low)


def power(n: int) -> str:
    """10^n nJ in words: "100 pJ"."""
    return joules(10.0**n).replace(".00", "").replace(".0", "")


def steps(points: Sequence[tuple[float, float]]) -> str:
    """The frontier as stairs: what can be had for an energy is the score of the last model below it."""
    d = f"M{points[0][0]:.2f} 100"
    for x, y in points:
        d += f"H{x:.2f}V{y:.2f}"
    return f"{d}H100"


def labels(
    points: dict[str, tuple[float, float]], order: Iterable[str], front: Sequence[str] = ()
) -> list[Text]:
    """A name beside each point, where it meets no other name and no point on pages of all `WIDTHS`.

    What has no room on a phone is shown on wider pages only; what has none there is told by the page's table.
    """
    found: dict[str, Text] = {}
    for widths, roomy in ((WIDTHS, False), (WIDTHS[1:], True)):
        for name in dict.fromkeys(order):
            sides, kind = (UP, "ink") if name in front else (DOWN, "soft")
            tried = (
                Text(*points[name], shortened(name), dx, dy, anchor, kind, roomy) for dx, dy, anchor in sides
            )
            others = list(found.values())
            if name not in found:
                fits = (one for one in tried if all(free(one, points, others, width) for width in widths))
                label = next(fits, None)
                if label:
                    found[name] = label
    return list(found.values())


def free(label: Text, points: dict[str, tuple[float, float]], others: Iterable[Text], width: float) -> bool:
    """Whether a label lies on a plot of a width and meets nothing there."""
    place = box(label, width)
    taken = [*(mark(*at, width) for at in points.values()), *(box(one, width) for one in others)]
    inside = place.left >= 2 and place.right <= width + 14 and place.top >= 0
    return inside and not any(place.meets(one) for one in taken)


def mark(x: float, y: float, width: float) -> Box:
    x, y = x / 100 * width, y / 100 * HIGH
    return Box(x - MARK, y - MARK, x + MARK, y + MARK)


def box(label: Text, width: float) -> Box:
    """The room that a label takes on a plot of a width."""
    x, y = label.x / 100 * width + label.dx, label.y / 100 * HIGH + label.dy
    long = width_of(label.text)
    left = x - {"start": 0.0, "middle": long / 2, "end": long}[label.anchor]
    return Box(left, y - LINE + 4, left + long, y + 4)
