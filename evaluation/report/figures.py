"""The charts of a report, in the colours of its page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from spikeseq.evaluation.report.answer import figure_in_words, joules, of_score
from spikeseq.evaluation.report.chart import (
    Chart,
    Path,
    Point,
    Scale,
    Span,
    Strip,
    Strips,
    Text,
    Tick,
    apart,
    line,
    shortened,
    width_of,
)
from spikeseq.evaluation.report.models import LEVEL, Model
from spikeseq.evaluation.report.scatter import Logarithmic, power
from spikeseq.recipes.recipe import Recipe

MOST_NEURONS = 64  # rows of a raster for each layer
LINE = 15  # pixels between labels
HISTORY = 220  # pixels of height of a learning curve

WORD = 17  # pixels across that an upright word takes

Pairs = Mapping[str, tuple[float, float]]


def energy(models: Sequence[Model], recipe: Recipe) -> Strips | None:
    """A row per model, the cheapest first: a bar for compute, from its end a thin line to all with memory."""
    counted = sorted((one for one in models if one.compute), key=lambda one: one.compute or 0.0)
    if not counted:
        return None
    values = [value for one in counted for value in (one.compute, one.memory.get(LEVEL)) if value]
    least, most = min(values), max(values)
    start = math.floor(math.log10(least / 1.5))  # bars begin at a power of ten
    scale = Logarithmic(10.0**start, most)
    rows = []
    for one in counted:
        assert one.compute
        spans, memory = [Span(0, scale(one.compute), one.kind)], one.memory.get(LEVEL)
        if memory:
            spans.append(Span(scale(one.compute), scale(memory), "more", mark=True))
        score = "" if one.score is None else of_score(one.score, recipe).split(" ")[0]
        rows.append(
            Strip(one.name, one.kind, spans, [joules(one.compute), joules(memory) if memory else "", score])
        )
    what = "%" if recipe.points == "points" else recipe.points
    return Strips(
        f"Energy per {recipe.unit}, the cheapest first",
        ["model", "", "compute", "with memory", what],
        rows,
        grid=100 / (scale.high - scale.low),
        note=(
            "Bar: compute. Thin line: on to all operations and memory traffic. Logarithmic: the bars begin at"
            f" {power(start)}, and each line of the grid is ten times the one before."
        ),
    )


def learning(
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    kinds: Mapping[str, str],
    recipe: Recipe,
    what: str = "epoch",
    lost: str = "training loss",
) -> list[Chart]:
    """What a log has under "loss", `lost` in words, and validation score by `what`, a line per run."""
    losses = {name: [(row["epoch"], row["loss"]) for row in rows] for name, rows in histories.items()}
    scores = {
        name: [
            (row["epoch"], row["validation"].get(recipe.figure, row["validation"]["score"])) for row in rows
        ]
        for name, rows in histories.items()
    }
    return [
        lines(losses, kinds, lost.capitalize(), what),
        lines(scores, kinds, f"Validation {figure_in_words(recipe)}", what),
    ]


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], kinds: Mapping[str, str], title: str, what: str
) -> Chart:
    """A line per name, which stands beside its end."""
    values = [value for points in series.values() for value in points]
    across = Scale(min(x for x, _ in values), max(x for x, _ in values), room=0.03, whole=True)
    up = Scale(min(y for _, y in values), max(y for _, y in values), turned=True)
    ends = {name: (across(points[-1][0]), up(points[-1][1])) for name, points in series.items()}
    height = max(HISTORY, LINE * (len(series) + 2))
    beside = apart({name: y for name, (_, y) in ends.items()}, 100 * LINE / height)
    said = "; ".join(f"{name} ends at {points[-1][1]:.4g}" for name, points in series.items())
    return Chart(
        title,
        f"{title} by {what}: {said}.",
        x=what,
        height=height,
        named=True,
        x_ticks=across.ticks,
        y_ticks=up.ticks,
        paths=[
            line([across(x) for x, _ in points], [up(y) for _, y in points], kinds[name], name)
            for name, points in series.items()
        ],
        points=[Point(*at, kinds[name], name, small=True) for name, at in ends.items()],
        texts=[Text(x, beside[name], shortened(name, 16), 9, 5) for name, (x, _) in ends.items()],
    )


def spike_rates(rates: Mapping[str, float], unit: str) -> Strips:
    """Spikes per neuron and token, or another unit, of every spiking layer."""
    most = max(rates.values()) or 1.0
    rows = [
        Strip(name, "", [Span(0, 100 * rate / most, "spiking")], [f"{rate:.3f}"])
        for name, rate in rates.items()
    ]
    return Strips(f"Spikes per neuron and {unit}", ["layer", "", "spikes"], rows)


def parameters(before: Pairs, after: Pairs) -> list[Strips]:
    """Leak and threshold of every layer as they started and as they ended (thesis Fig. 5.2)."""
    found = []
    for which, what in enumerate(("Leak", "Threshold")):
        values = [pair[which] for source in (before, after) for pair in source.values()]
        scale = Scale(min(values), max(values))
        rows = []
        for name, ends in after.items():
            end, start = ends[which], before[name][which] if name in before else None
            spans = [Span(scale(start), scale(end), "more")] if start is not None else []
            spans.append(Span(scale(end), scale(end), "spiking", mark=True))
            rows.append(Strip(name, "", spans, ["" if start is None else f"{start:.3f}", f"{end:.3f}"]))
        found.append(
            Strips(f"{what}, from its start to the trained value", ["layer", "", "start", "trained"], rows)
        )
    return found


def trace(tokens: Sequence[str], logits: Tensor, classes: Sequence[str]) -> Chart:
    """The read-out after every word (thesis Fig. 6.4); of two classes, the second's less the first's.

    Args:
        logits: (len(tokens), classes).
    """
    if len(classes) == 2:
        series = {f"{classes[1]} (above 0)": (logits[:, 1] - logits[:, 0]).tolist()}
    else:
        series = {name: logits[:, index].tolist() for index, name in enumerate(classes)}
    kinds = dict.fromkeys(series, "more")
    chart = lines(
        {n: [(i + 0.5, y) for i, y in enumerate(ys)] for n, ys in series.items()}, kinds, "Word by word", ""
    )
    chart.alternative = (
        f"The verdict after the last of {len(tokens)} words is {classes[int(logits[-1].argmax())]}."
    )
    values = [y for ys in series.values() for y in ys]
    up = Scale(min(values), max(values), turned=True)
    if up.low < 0 < up.high:
        chart.paths.insert(0, line([0, 100], [up(0), up(0)], "zero"))
    return below(chart, tokens, centred=Scale(0.5, len(tokens) - 0.5, room=0.03))


def raster(layers: Mapping[str, Tensor], tokens: Sequence[str]) -> list[Chart]:
    """Every spike of a text: a row per neuron, the words below; (sub-steps, neurons) by layer."""
    charts = []
    for name, spikes in layers.items():
        seen = spikes[:, :MOST_NEURONS].bool()
        charts.append(
            Chart(
                name,
                f"{int(seen.sum())} spikes of {seen.shape[1]} neurons in {len(seen)} sub-steps.",
                y=name,
                height=max(30, 2 * seen.shape[1]),
                width=WORD * len(tokens),
                rows=(len(seen), seen.shape[1]),
                paths=[Path(runs_of_spikes(seen), "spikes")],
            )
        )
    below(charts[-1], tokens)
    return charts


def runs_of_spikes(spikes: Tensor) -> str:
    """A path with a dash for every run of spikes of a neuron, in sub-steps across and neurons down."""
    padded = torch.nn.functional.pad(spikes.T.int(), (1, 1))
    change = padded.diff(dim=1)
    starts, ends = (change == 1).nonzero().tolist(), (change == -1).nonzero().tolist()
    return "".join(
        f"M{start} {row}.5h{end - start}" for (row, start), (_, end) in zip(starts, ends, strict=True)
    )


def below(chart: Chart, tokens: Sequence[str], centred: Scale | None = None) -> Chart:
    """The chart with words below it, one after the other, upright."""
    at = centred or (lambda place: 100 * place / len(tokens))
    words = [shortened(token, 14) for token in tokens]
    chart.width, chart.upright = WORD * len(tokens), True
    chart.foot = round(max(map(width_of, words), default=0)) + 16
    chart.x_ticks = [Tick(at(i + 0.5), word) for i, word in enumerate(words)]
    return chart
