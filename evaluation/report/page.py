"""The page: contents and figures put into `page.html`."""

import html
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import spikeseq
from spikeseq.evaluation.energy.prices import LEVELS, THESIS, full
from spikeseq.evaluation.energy.table import LEGEND, compute_rows, memory_rows, operations, scopes
from spikeseq.evaluation.report import figures
from spikeseq.evaluation.report.content import Content, read_content
from spikeseq.files import write_whole
from spikeseq.recipes.comparison import compared_by
from spikeseq.recipes.config import changes
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.runs import row_of
from spikeseq.recipes.shared import plots
from spikeseq.tokenizers.words import whole_characters


def write_report(folders: Sequence[Path], out: Path, text: str | None = None) -> None:
    """One HTML file about finished runs of one recipe, which needs nothing beside it.

    Args:
        folders: run folders, the first of them the one that the page is about.
        out: the file; it is written in one piece.
        text: what membranes, spikes and attention are shown on; default a sentence of our own.
    Raises:
        ValueError: not an .html file, runs of several recipes or on other data, or one that is not finished.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out takes an .html file, got {out}")
    text = None if text is None else whole_characters(text)
    contents = [read_content(folder, text) for folder in folders]
    recipes = {content.config.recipe for content in contents}
    if len(recipes) > 1:
        raise ValueError(f"a report is about runs of one recipe, got {', '.join(sorted(recipes))}")
    compared = [compared_by(content.folder, content.metrics) for content in contents]
    for what in dict.fromkeys(key for one in compared for key in one if key != "seed"):
        values = sorted({str(one.get(what)) for one in compared})
        if len(values) > 1:
            raise ValueError(f"runs on different {what} cannot be compared: {', '.join(values)}")
    write_whole(out, render(contents, text).encode("utf-8"))


def render(contents: Sequence[Content], text: str | None = None) -> str:
    """The page as text."""
    contents = named_apart(contents)
    recipe = contents[0].config.recipe
    metrics = {content.name: content.metrics for content in contents}
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    return template.render(
        title=f"{recipe}: {', '.join(metrics)}",
        version=spikeseq.__version__,
        data=contents[0].metrics["data"],
        results=[{"run": c.name, **row_of(c.folder, c.metrics)} for c in contents],
        results_legend=RECIPES[recipe].legend,
        compute=compute_rows(metrics, recipe),
        unit=RECIPES[recipe].unit,
        compute_legend=LEGEND.format(unit=RECIPES[recipe].unit),
        memory=memory_rows(metrics),
        split=contents[0].metrics.get("split", "test"),
        signatures=sorted({s for c in contents for s in signatures(c.metrics["energy"])}),
        missing=sorted({name for c in contents for name in c.metrics["energy"]["not_counted"]}),
        guessed=sorted({name for c in contents for name in c.metrics["energy"].get("guessed", ())}),
        pictures=pictures(contents),
        runs=[about(content) for content in contents],
        report=report_command(contents, text),
    )


def named_apart(contents: Sequence[Content]) -> Sequence[Content]:
    """Run folders of the same name get their whole paths."""
    if len({content.name for content in contents}) < len(contents):
        for content in contents:
            content.name = str(content.folder)
    return contents


def pictures(contents: Sequence[Content]) -> list[dict[str, Any]]:
    """Heading, caption, text alternative and figure, in the order of the page."""
    found = []
    unit = RECIPES[contents[0].config.recipe].unit

    def add(heading: str, caption: str, alternative: str, figure: Any) -> None:
        picture = figures.svg(figure)
        label = html.escape(alternative, quote=True)
        picture = picture.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        found.append({"heading": heading, "caption": caption, "svg": Markup(picture)})

    histories = {content.name: content.history for content in contents if content.history}
    if histories:
        ends = "; ".join(f"{name} ends at {rows[-1]['loss']:.3f}" for name, rows in histories.items())
        score = RECIPES[contents[0].config.recipe].figure
        what, lost = learnt_by(contents[0].history)
        caption = f"{lost.capitalize()} and validation score after every {what}."
        drawn = figures.learning(histories, score, what, lost)
        add("Learning", caption, f"{lost.capitalize()} by {what}: {ends}.", drawn)
    bars = energy_bars(contents)
    if bars:
        said = "; ".join(f"{name} {row['thesis']:,.3g} nJ" for name, row in bars.items())
        add(
            f"Energy per {unit}",
            "By the thesis's equations, and with all operations and memory traffic at each level of memory.",
            f"Energy per {unit} by the thesis's equations: {said}.", figures.energy(bars, unit),
        )  # fmt: skip
    points = score_points(contents)
    if len(contents) > 1 and len(points) > 1:
        recipe = RECIPES[contents[0].config.recipe]
        figure, better = recipe.figure, "Down" if recipe.lower_is_better else "Up"
        said = "; ".join(f"{name} {value:.2f} at {nj:,.3g} nJ" for name, (nj, value) in points.items())
        add(
            "Score against energy",
            f"{better} and to the left is better. By the thesis's equations: compute only.",
            f"{figure} and energy per {unit}: {said}.", figures.tradeoff(points, figure, unit),
        )  # fmt: skip
    for content in contents:
        for heading, caption, alternative, figure in of_one(content):
            add(f"{heading}: {content.name}", caption, alternative, figure)
    return found


def learnt_by(history: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """What an entry of a log is about, and what its "loss" is, in words."""
    first = history[0] if history else {}
    return first.get("what", "epoch"), first.get("loss_is", "training loss")


def of_one(content: Content) -> Iterator[tuple[str, str, str, Any]]:
    """Heading, caption, text alternative and figure of what is shown of every run by itself."""
    for picture in content.pictures:
        yield picture.heading, picture.caption, picture.alternative, picture.figure
    if content.rates:
        said = ", ".join(f"{layer} {rate:.2f}" for layer, rate in content.rates.items())
        unit = RECIPES[content.config.recipe].unit
        caption = f"All sub-steps of one {unit}, over the test split."
        drawn = figures.spike_rates(content.rates, unit)
        yield "Spike rates", caption, f"Spikes per neuron and {unit}: {said}.", drawn
    if content.after:
        said = ", ".join(f"{layer} {leak:.3f}, {v:.3f}" for layer, (leak, v) in content.after.items())
        drawn = figures.parameters(content.before, content.after)
        caption = "Before training and after it; means where a layer has many."
        yield "Leak and threshold", caption, f"Leak and threshold after training: {said}.", drawn
    if content.seen.trace is not None:
        tokens, logits, classes = content.seen.trace
        said = f"The verdict after the last of {len(tokens)} words is {classes[int(logits[-1].argmax())]}."
        drawn = figures.plain(plots.trace_figure(tokens, logits, classes))
        yield "Word by word", "The read-out after every word, as if the text ended there.", said, drawn
    if content.seen.attention is not None:
        source, target, weights = content.seen.attention
        pairs = zip(target, weights, strict=True)
        said = "; ".join(f"{word} looks at {source[int(row.argmax())]}" for word, row in pairs)
        drawn = plots.attention_figure(source, target, weights)
        caption = "Which source words (above) each target word (left) looks at; the mean over layers."
        yield "Attention", caption, said, drawn
    if content.seen.surprise is not None:
        tokens, bits, held = content.seen.surprise
        most = max(range(len(bits)), key=bits.__getitem__)
        mean = sum(bits) / len(bits)
        said = f"{mean:.2f} bits a token; the most surprising, number {most + 1}, has {bits[most]:.1f}."
        caption = "The darker a token, the less it was expected."
        if held:
            caption += " Below: what the slowest neurons hold after each token, each on a scale of its own."
        yield "Surprise", caption, said, figures.plain(plots.surprise_figure(tokens, bits, held))
    if content.spikes:
        said = ", ".join(f"{layer} {int(spikes.sum())}" for layer, spikes in content.spikes.items())
        drawn = figures.raster(content.spikes, content.seen.tokens)
        caption = f"Every spike of up to {figures.MOST_NEURONS} neurons a layer; the words below."
        yield "Spikes", caption, f"Spikes by layer: {said}.", drawn


def energy_bars(contents: Sequence[Content]) -> dict[str, dict[str, float]]:
    """nJ by energy model for every run and variant that has been counted in full."""
    bars = {}
    for name, account, _ in scopes({content.name: content.metrics for content in contents}):
        if "operations" in account:
            counts = operations(account["operations"])
            bars[name] = {
                "thesis": THESIS.energy(counts) / 1e3,
                **{f"full, {level}": full(level).energy(counts) / 1e3 for level in LEVELS},
            }
    return bars


def score_points(contents: Sequence[Content]) -> dict[str, tuple[float, float]]:
    """nJ by the thesis's equations, and the score, of every run and variant that has both."""
    found = scopes({content.name: content.metrics for content in contents})
    return {
        name: (account["picojoules"] / 1e3, score)
        for name, account, score in found
        if "operations" in account and account["picojoules"] > 0 and score is not None
    }


def signatures(account: dict[str, Any]) -> list[str]:
    """What the figures of an account depend on."""
    return [account["signature"], *account.get("signatures", {}).values()]


def about(content: Content) -> dict[str, Any]:
    """The command that makes a run again, and what it ran on."""
    config, metrics = content.config, content.metrics
    source = config.data.source if config.data.source in ("sample", "hub") else "DATA"
    options = ["--model", config.model.name, "--data", source, "--seed", str(config.seed)]
    for option, key in (("--method", "method"), ("--from", "start")):
        if config.model.get(key) is not None:
            options += [option, config.model[key]]
    options += ["--out", str(content.folder)]
    for key, value in changes(config).items():
        options += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return {
        "name": content.name,
        "command": shlex.join(["spikeseq", "train", config.recipe, *options]),
        "hardware": metrics["hardware"],
        "seconds": metrics["seconds"]["train"],
        "text": content.text,
    }


def report_command(contents: Sequence[Content], text: str | None) -> str:
    options = ["--text", text] if text else []
    return shlex.join(["spikeseq", "report", *(str(c.folder) for c in contents), *options])
