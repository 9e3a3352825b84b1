"""The page: the answer, its two charts, the words used, and what is folded away, put into `page.html`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from unicodedata import bidirectional

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import spikeseq
from spikeseq.evaluation.report import figures
from spikeseq.evaluation.report.answer import answer, explained, spaced
from spikeseq.evaluation.report.content import Content, read_content
from spikeseq.evaluation.report.details import folds
from spikeseq.evaluation.report.models import LEVEL, Model, choose, models_of, pair, placed
from spikeseq.evaluation.report.scatter import scatter
from spikeseq.files import write_whole
from spikeseq.recipes.comparison import compared_by, split_of
from spikeseq.recipes.recipe import Recipe
from spikeseq.recipes.registry import RECIPES
from spikeseq.tokenizers.words import whole_characters


def write_report(folders: Sequence[Path], out: Path, text: str | None = None) -> None:
    """One HTML file about finished runs of one recipe, which needs nothing beside it.

    Args:
        folders: run folders; the page is about the first of them that spikes (`models.choose`).
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
    write_whole(out, whole_characters(render(contents, text)).encode("utf-8"))


def render(contents: Sequence[Content], text: str | None = None) -> str:
    """The page as text."""
    contents = named_apart(contents)
    first = contents[0].metrics
    recipe = RECIPES[contents[0].config.recipe]
    models = models_of({content.name: content.metrics for content in contents})
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html").render(
        answer=answer(models, recipe),
        explained=explained(models, recipe, rows_of(first, recipe)),
        title=f"{first['recipe']}: {', '.join(content.name for content in contents)}",
        about=f"{first['recipe']}, {first['data']}, {split_of(first)} split; spikeseq {spikeseq.__version__}",
        scatter=scatter(models, recipe, compared_names(models, recipe)),
        energy=figures.energy(models, recipe),
        absent=absent(models),
        kinds=list(dict.fromkeys(model.kind for model in models)),
        terms=list(terms(models, recipe)),
        folds=list(folds(contents, models, text)),
    )


def rows_of(metrics: dict[str, object], recipe: Recipe) -> int | None:
    """How many rows an accuracy is of; None of other figures, and where a run does not say it."""
    rows = metrics.get(recipe.counted)
    if recipe.figure != "accuracy" or not isinstance(rows, dict):
        return None
    return rows.get(split_of(metrics))


def compared_names(models: Sequence[Model], recipe: Recipe) -> list[str]:
    """Names of the two models that the answer is about."""
    subject, baseline = choose(models, recipe)
    if baseline is None:
        return [subject]
    found = pair(models, recipe, subject, baseline)
    return [found.subject.name, found.baseline.name]


def absent(models: Sequence[Model]) -> list[str]:
    """Names of the models that no point of the chart stands for."""
    there = placed(models)
    return [model.name for model in models if model.name not in there]


def named_apart(contents: Sequence[Content]) -> Sequence[Content]:
    """Run folders of the same name get their whole paths; all names are made legible."""
    same = len({content.name for content in contents}) < len(contents)
    for content in contents:
        content.name = legible(str(content.folder) if same else content.name)
    return contents


def legible(name: str) -> str:
    """Without control characters and halves of characters; a name read from the right turns nothing else."""
    seen = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    turns = any(bidirectional(letter) in ("R", "AL", "AN") for letter in seen)
    return f"\u2068{seen}\u2069" if turns else seen


def terms(models: Sequence[Model], recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The words that the page uses, and what they mean, for those who do not know them."""
    kinds, forms = {model.kind for model in models}, {model.form for model in models}
    if "spiking" in kinds:
        yield "spiking", "Neurons hand on nothing or a 1, a spike; a weight is added where a spike arrives."
    if "conventional" in kinds:
        yield "conventional", "Values are handed on as numbers; every one is multiplied by every weight."
    yield (
        "compute energy",
        "Products and additions, counted while the model runs, at what they cost in a chip of 45 nm: 4.6 pJ"
        " a product with its addition, 0.9 pJ an addition, 0.3 pJ a product of 8 bits. Per"
        f" {recipe.unit}; without memory. Counted, not measured with a meter.",
    )
    yield (
        "with memory",
        f"All operations, and every byte read or written, as if all lay in memory of {spaced(LEVEL)}; no"
        " cache.",
    )
    if len(models) > 1:
        yield "frontier", "The models that no other beats in score and energy at once: choose among these."
    if "folded" in forms:
        yield "folded", "What the first layer multiplies is computed ahead for every word, and looked up."
    if any("int" in form or "bits" in form for form in forms):
        yield (
            "int8, 8 bits, 4 bits",
            "Numbers of so many bits in place of 32; the score is the rounded model's.",
        )
    if recipe.figure == "bleu_tok_lc":
        yield "BLEU", "How much of a translation stands in the reference too, 0 to 100, on lower-cased words."
    if recipe.figure == "bits_per_byte":
        yield "bits per byte", "How much the text surprises the model; fewer is better."
    yield "J", "A joule is a watt for a second; 1 mJ is 1,000 µJ, 1,000,000 nJ or 1,000,000,000 pJ."
