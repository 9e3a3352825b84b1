"""Pictures that more than one recipe draws of what it classified."""

from pathlib import Path
from typing import Any


def draw_confusion(path: Path, table: list[list[int]], classes: list[str]) -> None:
    """Rows are right classes, columns those that were answered."""
    figure, axes = new_figure(4.5, 4)
    image = axes.imshow(table, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("answered")
    axes.set_ylabel("right")
    most = max(map(max, table))
    for i, row in enumerate(table):
        for j, count in enumerate(row):
            axes.text(
                j, i, count, ha="center", va="center", fontsize=6, color="w" if count > most / 2 else "k"
            )
    figure.colorbar(image)
    figure.savefig(path, dpi=150)


def new_figure(width: float, height: float) -> Any:
    """A figure of so many inches and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
