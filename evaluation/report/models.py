"""The models of a report: every run in every form in which it has been counted, and which two it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spikeseq.evaluation.energy.prices import LEVELS, full
from spikeseq.evaluation.energy.table import forms, named, operations
from spikeseq.evaluation.frontier import frontier
from spikeseq.recipes.recipe import Recipe

LEVEL = "8KB"
"""The level of memory that the answer prices traffic at; the page's tables have all of them."""
KEPT = 0.01
"""Of its score that a form may lose, and be compared still."""
WORDS = {
    "lstm": "the LSTM", "gru": "the GRU", "rnn": "the RNN", "bow": "the bag of words", "ann": "the ANN",
    "transformer": "the transformer",
}  # fmt: skip
FORMS = {"": "as trained", "folded": "folded", "int8": "in 8 bits", "streamed": "streamed"}


@dataclass(frozen=True)
class Model:
    """A run in one of its forms.

    Args:
        run: its name. form: "" as trained, or one of its variants ("folded", "int8").
        kind: "spiking" or "conventional": whether the account has neurons that spike.
        key: the model's name in the recipe, or the method that names it better ("ann").
        score: the recipe's figure; None where the run has none.
        compute: nJ by the thesis's equations; None where nothing has been counted.
        memory: nJ with all operations and memory traffic, by level of memory.
    """

    run: str
    form: str
    kind: str
    key: str
    score: float | None
    compute: float | None
    memory: Mapping[str, float]

    @property
    def name(self) -> str:
        return named(self.run, self.form)


def models_of(runs: Mapping[str, dict[str, Any]]) -> list[Model]:
    """Of finished runs (`metrics.json` by name), in their order; each as trained first."""
    found = []
    for run, metrics in runs.items():
        kind = "conventional" if metrics["energy"].get("spike_rate") is None else "spiking"
        key = metrics["method"] if metrics.get("method") in WORDS else metrics["model"]
        for form, account, score in forms(metrics):
            counts = operations(account["operations"]) if "operations" in account else None
            energy = account.get("picojoules") or 0.0
            found.append(
                Model(
                    run, form, kind, key, score,
                    energy / 1e3 if energy > 0 else None,
                    {level: full(level).energy(counts) / 1e3 for level in LEVELS} if counts else {},
                )
            )  # fmt: skip
    return found


@dataclass(frozen=True)
class Pair:
    """Two runs in one form.

    subject: what the page is about. baseline: what it is compared with.
    """

    subject: Model
    baseline: Model


def rank(model: Model, recipe: Recipe) -> tuple[bool, float, float]:
    """The best score first; of equal ones the cheapest; those without a score last."""
    if model.score is None:
        return True, 0.0, model.compute or float("inf")
    return False, model.score if recipe.lower_is_better else -model.score, model.compute or float("inf")


def choose(models: Sequence[Model], recipe: Recipe) -> tuple[str, str | None]:
    """The run that a report is about, and the one that it is compared with; None where there is no other.

    The subject is the first spiking run named, or the first run if none spikes. The baseline is, of the
    other runs, the conventional one of the best score, or the one of the best score if all of them spike;
    of equal scores the cheapest, as trained.
    """
    trained = [model for model in models if not model.form]
    subject = next((model for model in trained if model.kind == "spiking"), trained[0])
    others = [model for model in trained if model.run != subject.run]
    conventional = [model for model in others if model.kind == "conventional"]
    baseline = min(conventional or others, key=lambda model: rank(model, recipe), default=None)
    return subject.run, baseline.run if baseline else None


def faithful(models: Sequence[Model], recipe: Recipe) -> list[Model]:
    """Models that score at most `KEPT` worse than their run as trained: 4 bits may ruin one, and be cheap."""
    trained = {model.run: model.score for model in models if not model.form}
    sign = 1 if recipe.lower_is_better else -1
    found = []
    for model in models:
        score = trained[model.run]
        if score is None or model.score is None or sign * (model.score - score) <= KEPT * abs(score):
            found.append(model)
    return found


def pair(models: Sequence[Model], recipe: Recipe, subject: str, baseline: str) -> Pair:
    """Both runs in the form, of those that both have, in which the subject computes for the least energy.

    Forms in which one of them loses its score (`faithful`) are left out.
    """
    by_form: dict[str, dict[str, Model]] = {}
    for model in faithful(models, recipe):
        by_form.setdefault(model.form, {})[model.run] = model
    both = [
        Pair(runs[subject], runs[baseline]) for runs in by_form.values() if {subject, baseline} <= {*runs}
    ]
    counted = [one for one in both if one.subject.compute and one.baseline.compute]
    return min(counted, key=lambda one: one.subject.compute or 0.0) if counted else both[0]


def best_form(models: Sequence[Model], recipe: Recipe, run: str) -> Model:
    """The form of a run that computes for the least energy, of those that keep its score (`faithful`)."""
    forms = (one for one in faithful(models, recipe) if one.run == run)
    return min(forms, key=lambda one: one.compute or float("inf"))


def placed(models: Iterable[Model], memory: bool = False) -> dict[str, tuple[float, float]]:
    """nJ and score of the models that have both, by name; `memory`: with its traffic at `LEVEL`."""
    found = {}
    for model in models:
        energy = model.memory.get(LEVEL) if memory else model.compute
        if energy and model.score is not None:
            found[model.name] = (energy, model.score)
    return found


def beaten_by(models: Sequence[Model], subject: Model, recipe: Recipe, memory: bool = False) -> list[str]:
    """Names of the models of other runs that score no worse for no more energy, one of the two better."""
    points = placed(models, memory)
    if subject.name not in points:
        return []
    others = [model.name for model in models if model.run != subject.run and model.name in points]
    own = points[subject.name]
    return [
        name
        for name in others
        if points[name] != own
        and frontier({"own": own, name: points[name]}, lower_is_better=recipe.lower_is_better) == [name]
    ]
