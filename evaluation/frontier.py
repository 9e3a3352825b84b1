"""Which of several models are worth their energy: those that none beats in score and energy at once."""

import math
from collections.abc import Mapping


def frontier(points: Mapping[str, tuple[float, float]], *, lower_is_better: bool = False) -> list[str]:
    """Names of the points that no other dominates (the Pareto front), from the cheapest on.

    A point dominates another if it costs no more and scores no worse, and one of the two is better.
    Equal points do not dominate each other: they stay together, in the order in which they are given.
    Tables, and the plot of score against energy in `spikeseq report`, use this one function.

    Args:
        points: energy (in one unit for all; 0 is fine, as no logarithm is taken) and score, by name.
        lower_is_better: whether a smaller score is better, as of bits per byte; default as of accuracy.
    Raises:
        ValueError: naming a point whose energy or score is NaN, which nothing can be compared with.
    """
    for name, values in points.items():
        if any(map(math.isnan, values)):
            raise ValueError(f"energy and score of {name} must be numbers, got {values}")
    sign = 1.0 if lower_is_better else -1.0
    ranked = sorted((energy, sign * score, place) for place, (energy, score) in enumerate(points.values()))
    names, found = list(points), []
    best, at = math.inf, math.nan  # the best score so far, and the energy that it took first
    for energy, loss, place in ranked:
        if loss < best or (loss == best and energy == at):
            found.append(names[place])
            best, at = loss, energy
    return found
