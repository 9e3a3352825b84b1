"""Energy accounts side by side, in the layout of thesis tables 6.8 and 6.9, with the thesis's rows below."""

from collections.abc import Iterator
from typing import Any

from spikeseq.evaluation.energy.measure import BATCH
from spikeseq.evaluation.energy.operations import COUNTS, Operations, macs_of_bits
from spikeseq.evaluation.energy.prices import LEVELS, EnergyModel, full
from spikeseq.evaluation.frontier import frontier
from spikeseq.quantisation import BITS
from spikeseq.recipes.registry import RECIPES

LEGEND = (
    "MACs, ACs: millions per {unit}, as they happen (thesis rows: ACs times spike rate). spikes: per"
    " neuron and {unit}. times: energy relative to the first spiking row (or the first), in thesis rows by"
    " its equations and, in brackets, as printed. The MACs of models of few bits"
    " have so many, and are cheaper."
)


def compute_rows(runs: dict[str, dict[str, Any]], recipe: str) -> list[dict[str, str]]:
    """Ours and the thesis's: MACs, ACs, spike rate, energy, score.

    Args:
        runs: metrics of finished runs of one recipe, by name.
    """
    ours = list(scopes(runs))
    first = next((account for _, account, _ in ours if account.get("acs")), ours[0][1])
    rows = [
        row(name, macs_of(account), acs_of(account), account.get("spike_rate"),
            account["picojoules"], first["picojoules"], score, 3 if RECIPES[recipe].lower_is_better else 2)
        for name, account, score in ours
    ]  # fmt: skip
    thesis = RECIPES[recipe].thesis()
    if thesis is None:
        return rows
    number, table, first_spiking = thesis
    reference = table[first_spiking].energy
    for name, line in table.items():
        acs = line.acs * (line.spike_rate or 0.0)
        found = row(
            f"thesis {number}: {name}", line.macs * 1e6, acs * 1e6, line.spike_rate, line.energy * 1e6,
            reference * 1e6, line.score,
        )  # fmt: skip
        found["times"] += f" ({line.normalised:g})"
        rows.append(found)
    return rows


def scopes(runs: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], float | None]]:
    """Name, account and score of each run, of its recipe's scopes, and of what would be deployed."""
    for name, metrics in runs.items():
        recipe = RECIPES[metrics["recipe"]]
        for form, account, score in forms(metrics):
            for scope, counts in recipe.scopes(named(name, form), account):
                yield scope, counts, score


def forms(metrics: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], float | None]]:
    """Form, account and score of a run as it was trained, whose form is "", and of what would be deployed."""
    energy, figure = metrics["energy"], RECIPES[metrics["recipe"]].figure
    for form, account in {"": energy, **energy.get("variants", {})}.items():
        yield form, account, account.get(figure, metrics["test"].get(figure))


def named(run: str, form: str) -> str:
    """A run in a form: "snn, folded"."""
    return f"{run}, {form}" if form else run


def macs_of(account: dict[str, Any]) -> float:
    """MACs, those of few bits with them."""
    counts = account.get("operations", {})
    return float(account["macs"] + sum(counts.get(macs_of_bits(bits), 0.0) for bits in BITS))


def acs_of(account: dict[str, Any]) -> float:
    """ACs, those into whole numbers with them."""
    return float(account["acs"] + account.get("operations", {}).get("int_acs", 0.0))


def row(
    name: str, macs: float, acs: float, rate: float | None, energy: float, first: float, score: float | None,
    digits: int = 2,
) -> dict[str, str]:  # fmt: skip
    """digits: of the score; bits of a language model differ in the third."""
    return {
        "model": name,
        "MACs": f"{macs / 1e6:.4f}",
        "ACs": f"{acs / 1e6:.4f}",
        "spikes": "" if rate is None else f"{rate:.3f}",
        "nJ": f"{energy / 1e3:,.2f}",
        "times": f"{energy / first:,.2f}" if first else "",
        "score": "" if score is None else f"{score:.{digits}f}",
    }


def memory_rows(runs: dict[str, dict[str, Any]], prices: EnergyModel | None = None) -> list[dict[str, str]]:
    """nJ per token, gesture or image with all operations and memory traffic, by level or by your prices.

    xB: `BATCH` sequences that are computed together. a synapse: spikes that a weight sees.
    """
    models = [*map(full, LEVELS), *([prices] if prices else [])]
    rows = []
    for name, account, _ in scopes(runs):
        if "operations" in account:
            counts = operations(account["operations"])
            figures = {
                one.name.removeprefix("full at ") if one is not prices else f"by {one.name}": (
                    f"{one.energy(counts) / 1e3:,.2f}"
                )
                for one in models
            }
            shared = account.get("together", {}).get("full at 8KB")  # older runs have none
            per = account.get("spikes_per_synapse")
            rows.append(
                {
                    "model": name,
                    **figures,
                    f"8KB x{BATCH}": "" if shared is None else f"{shared / 1e3:,.2f}",
                    "a synapse": "" if per is None else f"{per:.3f}",
                    "updates": f"{counts.updates:,.0f}",
                    "KB": f"{account['bytes'] / 1024:,.0f}",
                }
            )
    return rows


FRONTIERS = ("8KB", "32KB")


def frontier_points(runs: dict[str, dict[str, Any]], level: str) -> dict[str, tuple[float, float]]:
    """nJ with all operations and memory traffic at a level, and score, of each model whole and deployed."""
    found = {}
    for name, metrics in runs.items():
        for form, account, score in forms(metrics):
            if "operations" in account and score is not None:
                found[named(name, form)] = (
                    full(level).energy(operations(account["operations"])) / 1e3,
                    float(score),
                )
    return found


def frontier_rows(runs: dict[str, dict[str, Any]], recipe: str) -> list[dict[str, str]]:
    """Score and nJ at two levels of memory, the cheapest first; a star where no other model dominates."""
    better, digits = RECIPES[recipe].lower_is_better, 3 if RECIPES[recipe].lower_is_better else 2
    points = {level: frontier_points(runs, level) for level in FRONTIERS}
    stars = {level: set(frontier(points[level], lower_is_better=better)) for level in FRONTIERS}
    first = points[FRONTIERS[0]]
    return [
        {
            "model": name,
            "score": f"{first[name][1]:.{digits}f}",
            **{
                level: f"{points[level][name][0]:,.2f}{' *' if name in stars[level] else '  '}"
                for level in FRONTIERS
            },
        }
        for name in sorted(first, key=lambda name: first[name])
    ]


def operations(counts: dict[str, float]) -> Operations:
    """Counts as `metrics.json` holds them."""
    return Operations(**{name: counts.get(name, 0.0) for name in COUNTS})
