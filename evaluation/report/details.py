"""What a report folds away: tables, learning curves, every run from inside, how to make it again."""

import json
import shlex
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from spikeseq.evaluation.energy.table import LEGEND, compute_rows, memory_rows
from spikeseq.evaluation.report import figures
from spikeseq.evaluation.report.answer import compared, energies, spoken
from spikeseq.evaluation.report.content import Content
from spikeseq.evaluation.report.models import Model, choose, pair
from spikeseq.evaluation.report.pictures import svg
from spikeseq.recipes.config import changes
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.runs import row_of
from spikeseq.recipes.shared import plots


class Part(NamedTuple):
    """A thing shown.

    Args:
        kind: "table", "words" (a table whose cells wrap), "chart", "strips", "picture", "note" or "code":
            how `page.html` shows the content.
    """

    kind: str
    content: Any
    caption: str = ""


class Fold(NamedTuple):
    summary: str
    parts: list[Part]


def folds(contents: Sequence[Content], models: Sequence[Model], text: str | None) -> Iterator[Fold]:
    """In the order of the page."""
    recipe = RECIPES[contents[0].config.recipe]
    split = contents[0].metrics.get("split", "test")
    results = [{"run": c.name, **row_of(c.folder, c.metrics)} for c in contents]
    yield Fold(
        "Scores and sizes",
        [Part("table", results, f"{split.capitalize()} split"), Part("note", recipe.legend)],
    )
    if len(contents) > 2:
        heading = f"{choose(models, recipe)[0]} against every other run"
        yield Fold(heading, [Part("words", against_all(models, recipe), heading)])
    yield Fold("Energy, count by count", list(accounts(contents)))
    histories = {content.name: content.history for content in contents if content.history}
    if histories:
        what, lost = learnt_by(next(iter(histories.values())))
        kinds = {model.run: model.kind for model in models}
        charts = figures.learning(histories, kinds, recipe, what, lost)
        yield Fold(
            "Learning", [Part("chart", chart, f"{chart.title}, after every {what}.") for chart in charts]
        )
    numbers = count()
    for content in contents:
        parts = list(inside(content, numbers))
        if parts:
            yield Fold(f"Inside {content.name}", parts)
    yield Fold("How to make it again", list(made_by(contents, text)))


def against_all(models: Sequence[Model], recipe: Any) -> list[dict[str, str]]:
    """A line for every run beside the subject, each pair in the form that `pair` chooses."""
    subject, _ = choose(models, recipe)
    rows = []
    for run in dict.fromkeys(model.run for model in models):
        if run != subject:
            one = pair(models, recipe, subject, run)
            name = spoken(one.baseline, models)
            said = compared(one, name, recipe)
            shares = energies(one, name).removeprefix("at ").removeprefix("; ")
            rows.append(
                {"run": run, "form": one.subject.form or "as trained", subject: said, "energy": shares}
            )
    return rows


def accounts(contents: Sequence[Content]) -> Iterator[Part]:
    """The tables of `spikeseq energy`, and what their figures depend on."""
    metrics = {content.name: content.metrics for content in contents}
    recipe = contents[0].config.recipe
    unit = RECIPES[recipe].unit
    yield Part("table", compute_rows(metrics, recipe), f"Compute energy per {unit}")
    yield Part("note", LEGEND.format(unit=unit))
    memory = memory_rows(metrics)
    if memory:
        yield Part("table", memory, f"All operations and memory traffic, nJ per {unit} by level of memory")
    energies = [content.metrics["energy"] for content in contents]
    for signature in sorted({one for energy in energies for one in signatures(energy)}):
        yield Part("note", signature)
    for words, key in (
        ("Not counted", "not_counted"),
        ("Taken for spikes because of their values", "guessed"),
    ):
        names = sorted({name for energy in energies for name in energy.get(key, ())})
        if names:
            yield Part("note", f"{words}: {', '.join(names)}.")


def signatures(account: dict[str, Any]) -> list[str]:
    """What the figures of an account depend on."""
    return [account["signature"], *account.get("signatures", {}).values()]


def learnt_by(history: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """What an entry of a log is about, and what its "loss" is, in words."""
    first = history[0] if history else {}
    return first.get("what", "epoch"), first.get("loss_is", "training loss")


def inside(content: Content, numbers: Iterator[int]) -> Iterator[Part]:
    """What is shown of a run by itself; `numbers`: of its pictures."""
    unit = RECIPES[content.config.recipe].unit

    def drawn(title: str, caption: str, alternative: str, figure: Any) -> Part:
        picture = svg(figure, f"{title}, {content.name}", alternative, next(numbers))
        return Part("picture", picture, f"{title}. {caption}")

    for picture in content.pictures:
        yield drawn(picture.heading, picture.caption, picture.alternative, picture.figure)
    if content.rates:
        caption = f"All sub-steps of one {unit}, over the {content.metrics.get('split', 'test')} split."
        yield Part("strips", figures.spike_rates(content.rates, unit), caption)
    if content.after:
        for strips in figures.parameters(content.before, content.after):
            yield Part("strips", strips, "Means, where a layer has one for each neuron.")
    if content.seen.trace is not None:
        caption = "Word by word. The read-out after every word, as if the text ended there."
        yield Part("chart", figures.trace(*content.seen.trace), caption)
    if content.seen.attention is not None:
        source, target, weights = content.seen.attention
        pairs = zip(target, weights, strict=True)
        said = "; ".join(f"{word} looks at {source[int(row.argmax())]}" for word, row in pairs)
        caption = "Which source words (above) each target word (left) looks at; the mean over layers."
        yield drawn("Attention", caption, said, plots.attention_figure(source, target, weights))
    if content.seen.surprise is not None:
        tokens, bits, held = content.seen.surprise
        most = max(range(len(bits)), key=bits.__getitem__)
        mean = sum(bits) / len(bits)
        said = f"{mean:.2f} bits a token; the most surprising, number {most + 1}, has {bits[most]:.1f}."
        caption = "The darker a token, the less it was expected."
        if held:
            caption += " Below: what the slowest neurons hold after each token, each on a scale of its own."
        yield drawn("Surprise", caption, said, plots.surprise_figure(tokens, bits, held))
    if content.spikes:
        caption = f"Spikes: up to {figures.MOST_NEURONS} neurons a layer, one to a row; the words below."
        charts = figures.raster(content.spikes, content.seen.tokens)
        yield from (Part("chart", chart, caption if chart is charts[-1] else "") for chart in charts)


def made_by(contents: Sequence[Content], text: str | None) -> Iterator[Part]:
    """The commands that make the runs and the page, and what the runs ran on."""
    for content in contents:
        metrics, shown = content.metrics, f" Shown on: {content.text}" if content.text else ""
        yield Part("code", train_command(content))
        yield Part(
            "note",
            f"{content.name}: {metrics['seconds']['train']} s of training on {metrics['hardware']}.{shown}",
        )
    options = ["--text", text] if text else []
    yield Part("code", shlex.join(["spikeseq", "report", *(str(c.folder) for c in contents), *options]))


def train_command(content: Content) -> str:
    """The command that makes a run again."""
    config = content.config
    source = config.data.source if config.data.source in ("sample", "hub") else "DATA"
    options = ["--model", config.model.name, "--data", source, "--seed", str(config.seed)]
    for option, key in (("--method", "method"), ("--from", "start")):
        if config.model.get(key) is not None:
            options += [option, config.model[key]]
    options += ["--out", str(content.folder)]
    for key, value in changes(config).items():
        options += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(["spikeseq", "train", config.recipe, *options])
