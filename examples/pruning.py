"""Draws accuracy against connectivity for the three orders of pruning (thesis fig. 2.7), from finished runs.

    for share in 0.5 0.25 0.1 0.08; do for when in before during after; do
      spikeseq train mnist-stdp --data DIR --set model.neurons=400 --set prune.when=$when \
        --set prune.share=$share --out runs/$when-$share
    done; done
    python examples/pruning.py runs/dense runs/before-* runs/during-* runs/after-* --out pruning.png
"""

import argparse
import json
from pathlib import Path
from typing import Any

TICKS = (0.1, 0.25, 0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders; the one without pruning is a line")
    parser.add_argument("--out", type=Path, default=Path("pruning.png"))
    given = parser.parse_args()
    draw([read(folder) for folder in given.runs], given.out)


def read(folder: Path) -> dict[str, Any]:
    """When a run was pruned, its connectivity and its accuracy."""
    from spikeseq.recipes.runs import read_config

    test = json.loads((folder / "metrics.json").read_text())["test"]
    when = read_config(folder).prune.when
    return {"when": when, "connectivity": test["connectivity"], "vote": test["vote"]}


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    for when, colour in (("during", "C0"), ("after", "C1"), ("before", "C2")):
        points = sorted((r["connectivity"], r["vote"]) for r in runs if r["when"] == when)
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=f"{when} training")
    for run in runs:
        if run["when"] == "none":
            axes.axhline(run["vote"], color="grey", linestyle="--", label="not pruned")
    axes.set(xlabel="share of the synapses", ylabel="test accuracy, vote, %", xscale="log")
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS], minor=False)
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
