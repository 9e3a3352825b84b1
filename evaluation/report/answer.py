"""The answer of a report, in sentences: how much worse or better, at which share of the energy."""

import math
from collections.abc import Sequence

from spikeseq.evaluation.report.models import (
    FORMS,
    LEVEL,
    WORDS,
    Model,
    Pair,
    beaten_by,
    best_form,
    choose,
    pair,
)
from spikeseq.recipes.recipe import Recipe


def answer(models: Sequence[Model], recipe: Recipe) -> str:
    """The first line: "0.8 points below the LSTM at 1/423 of its compute energy, 1/55 with memory."

    Of one run alone, its score and its energy.
    """
    subject, baseline = choose(models, recipe)
    if baseline is None:
        return alone(best_form(models, recipe, subject), recipe)
    found = pair(models, recipe, subject, baseline)
    against = spoken(found.baseline, models)
    difference, shares = compared(found, against, recipe), energies(found, against)
    line = f"{difference}{'' if shares[0] in ',;' else ' '}{shares}"
    return f"{line[0].upper()}{line[1:]}."


def alone(model: Model, recipe: Recipe) -> str:
    score = "No score" if model.score is None else of_score(model.score, recipe)
    if model.compute is None:
        return f"{score}; its energy has not been counted."
    memory = f", {joules(model.memory[LEVEL])} with memory" if model.memory else ""
    return f"{score} at {joules(model.compute)} of compute energy per {recipe.unit}{memory}."


def compared(found: Pair, against: str, recipe: Recipe) -> str:
    """ "0.8 points below the LSTM"."""
    subject, baseline = found.subject.score, found.baseline.score
    if subject is None or baseline is None:
        return f"no score to compare with {against}"
    difference = round(subject - baseline, digits(recipe))
    if difference == 0:
        return f"level with {against}"
    below, above = ("better than", "worse than") if recipe.lower_is_better else ("below", "above")
    amount = f"{abs(difference):.{digits(recipe)}f}".rstrip("0").rstrip(".")
    points = "point" if amount == "1" and recipe.points == "points" else recipe.points
    return f"{amount} {points} {below if difference < 0 else above} {against}"


def energies(found: Pair, against: str) -> str:
    """ "at 1/423 of its compute energy, 1/55 with memory"."""
    subject, baseline = found.subject, found.baseline
    missing = [name for one, name in ((subject, subject.run), (baseline, against)) if not one.compute]
    if missing or not subject.compute or not baseline.compute:
        return f"; the energy of {' and '.join(missing)} has not been counted"
    share = times(subject.compute / baseline.compute)
    of = {"the same": "the same compute energy"}.get(
        share, f"{share} of its compute energy" if share.startswith("1/") else f"{share} its compute energy"
    )
    if LEVEL not in subject.memory or not baseline.memory.get(LEVEL):
        return f"at {of}"
    return f"at {of}, {times(subject.memory[LEVEL] / baseline.memory[LEVEL])} with memory"


def explained(models: Sequence[Model], recipe: Recipe, rows: int | None = None) -> list[str]:
    """What the answer leaves out: which runs it is about and in which form, who does better, what is chance.

    Args:
        rows: of the split that an accuracy is measured on.
    """
    subject, baseline = choose(models, recipe)
    if baseline is None:
        only = best_form(models, recipe, subject)
        forms = len(models) > 1
        return (
            [f"That is {subject} {FORMS.get(only.form, only.form)}, its cheapest form that keeps its score."]
            if forms
            else []
        )
    found = pair(models, recipe, subject, baseline)
    return [
        chosen(found, models),
        *costs(found, recipe),
        *cheapest(found, models, recipe),
        better(found, models, recipe),
        *by_chance(found, rows),
    ]


def chosen(found: Pair, models: Sequence[Model]) -> str:
    """Which run the answer is about, which one it is compared with, and why these."""
    kinds = {model.run: model.kind for model in models}
    spiking = [run for run, kind in kinds.items() if kind == "spiking"]
    if not spiking:
        why = "the first run named"
    else:
        why = "the spiking run" if len(spiking) == 1 else "the first spiking run named"
    beside = [run for run, kind in kinds.items() if run != found.subject.run]
    conventional = [run for run in beside if kinds[run] == "conventional"]
    among = "conventional run" if conventional else "run beside it"
    why_not = f"the {among}" if len(conventional or beside) == 1 else f"the {among} of the best score"
    form = FORMS.get(found.subject.form, found.subject.form)
    return f"That is {found.subject.run} ({why}) against {found.baseline.run} ({why_not}), both {form}."


def costs(found: Pair, recipe: Recipe) -> list[str]:
    """The energies behind the shares, and how far these move with the level of memory."""
    subject, baseline = found.subject, found.baseline
    if not subject.compute or not baseline.compute:
        return []
    said = f"{joules(subject.compute)} against {joules(baseline.compute)} per {recipe.unit}"
    levels = [level for level in subject.memory if baseline.memory.get(level)]
    if not levels:
        return [f"{said}."]
    shares = [
        f"{times(subject.memory[level] / baseline.memory[level])} at {spaced(level)}" for level in levels
    ]
    with_memory = f"{joules(subject.memory[LEVEL])} against {joules(baseline.memory[LEVEL])}"
    return [
        f"{said}; with all operations and memory traffic at {spaced(LEVEL)}, {with_memory}"
        f" (by size of the memory: {', '.join(shares)})."
    ]


def cheapest(found: Pair, models: Sequence[Model], recipe: Recipe) -> list[str]:
    """Both runs, each in its `best_form`, where these are other forms."""
    each = Pair(*(best_form(models, recipe, one.run) for one in (found.subject, found.baseline)))
    if each == found or not each.subject.compute or not each.baseline.compute:
        return []
    against = each.baseline.name
    said = f"{each.subject.name} is {compared(each, against, recipe)} {energies(each, against)}"
    return [f"Each in its cheapest form that keeps its score, {said}."]


def better(found: Pair, models: Sequence[Model], recipe: Recipe) -> str:
    """Who scores no worse for no more energy, by compute and with memory."""
    compute, memory = (beaten_by(models, found.subject, recipe, one) for one in (False, True))
    name = found.subject.name
    if compute and compute == memory:
        return f"No worse a score for less energy than {name}: {', '.join(compute)}."
    said = [
        f"No worse a score for less {what} than {name}: {', '.join(names)}."
        for what, names in (("compute energy", compute), ("energy with memory", memory))
        if names
    ]
    return " ".join(said) or f"No other run here scores as well as {name} for less energy."


def chance(score: float, rows: int) -> float:
    """Points that two accuracies may differ by and be equal: 95 % of two independent shares of `rows`.

    Args:
        score: accuracy in percent. rows: that it is of. It is read as (rows * score + 1) / (rows + 2), or
            nothing would be left to chance at 100 %.
    """
    share = (score / 100 * rows + 1) / (rows + 2)
    return 100 * 1.96 * math.sqrt(2 * share * (1 - share) / rows)


def by_chance(found: Pair, rows: int | None) -> list[str]:
    """From which difference on two accuracies differ."""
    scores = [score for score in (found.subject.score, found.baseline.score) if score is not None]
    if not rows or not scores:
        return []
    points = max(chance(score, rows) for score in scores)
    return [f"With {rows:,} rows and one seed, differences below {points:.1f} points may be chance."]


def spoken(model: Model, models: Sequence[Model]) -> str:
    """ "the LSTM", if no other run is one; else the run's name."""
    same = {one.run for one in models if one.key == model.key}
    return WORDS[model.key] if model.key in WORDS and len(same) == 1 else model.run


def digits(recipe: Recipe) -> int:
    """Of a score: bits of a language model differ in the third."""
    return 3 if recipe.lower_is_better else 2


def of_score(score: float, recipe: Recipe) -> str:
    """ "90.20 % accuracy", "42.46 BLEU"."""
    number = f"{score:.{digits(recipe)}f}"
    return f"{number} % {recipe.figure}" if recipe.points == "points" else f"{number} {recipe.points}"


def figure_in_words(recipe: Recipe) -> str:
    """ "accuracy", "BLEU"."""
    return recipe.figure if recipe.points == "points" else recipe.points


def times(ratio: float) -> str:
    """ "1/423", "1/2.4", "3.2 times", "the same"."""
    factor = max(ratio, 1 / ratio)
    digits = 1 if factor < 9.95 else 0 if factor < 1000 else 2 - math.floor(math.log10(factor))
    number = f"{round(factor, digits):,.{max(digits, 0)}f}"  # of a thousand on, three digits
    if number == "1.0":
        return "the same"
    return f"1/{number}" if ratio < 1 else f"{number} times"


def joules(nanojoules: float) -> str:
    """Three digits and the unit that keeps them before the thousand: "1.74 nJ", "8.86 µJ", "4.84 pJ"."""
    for unit, size in (("pJ", 1e-3), ("nJ", 1.0), ("µJ", 1e3)):
        if nanojoules < 999.5 * size:
            return f"{significant(nanojoules / size)} {unit}"
    return f"{significant(nanojoules / 1e6)} mJ"


def spaced(level: str) -> str:
    """ "8 KB" of "8KB"."""
    return level.replace("KB", " KB").replace("MB", " MB")


def significant(value: float) -> str:
    """Three digits, or all those before the point."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
