"""What a language model remembers of a text: the membranes of all its neurons, and which of them are slow."""

import copy

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from spikeseq.models.language import LanguageModel

LAG = 10
"""Tokens later, at which a slow neuron still holds what it held."""


@torch.no_grad()
def memories(model: LanguageModel, tokens: Tensor) -> dict[str, Tensor]:
    """What each layer holds after every token (L, 1) of a text: (L, neurons); nothing of a transformer.

    What that is, the model says (`memory`). Read token by token in a copy of the model, so that nobody who
    watches the model sees it.
    """
    quiet, state = copy.deepcopy(model), None
    found: dict[str, list[Tensor]] = {}
    for token in tokens:
        _, state = quiet(token.unsqueeze(0), state)
        of_layers = state if model.ngrams is None else state[1]  # behind the last tokens
        for name, held in model.memory(of_layers).items():
            found.setdefault(name, []).append(held)
    return {name: torch.stack(held) for name, held in found.items()}


def slowest(layers: dict[str, Tensor], count: int = 4) -> dict[str, Tensor]:
    """The neurons whose values (L,) are most alike those some tokens later, by name.

    That they drift from where a text begins does not count; and no two are alike.
    """
    ranked: list[tuple[float, str, Tensor, Tensor]] = []
    for layer, held in layers.items():
        lag = min(LAG, len(held) // 2)
        if not lag:
            continue
        moves = level(held)
        alike = cosine_similarity(moves[:-lag], moves[lag:], dim=0)
        for neuron in (moves.std(0) > 1e-3 * held.abs().max()).nonzero().flatten().tolist():
            ranked.append((float(alike[neuron]), f"{layer}, {neuron}", moves[:, neuron], held[:, neuron]))
    ranked.sort(key=lambda one: -one[0])
    chosen: dict[str, Tensor] = {}
    before: list[Tensor] = []
    for _, name, moves, values in ranked:
        if len(chosen) < count and all(cosine_similarity(moves, one, dim=0).abs() < 0.9 for one in before):
            before.append(moves)
            chosen[name] = values
    return chosen


def level(values: Tensor) -> Tensor:
    """Values (L, N) less the straight line through each column."""
    time = torch.linspace(-1, 1, len(values), dtype=values.dtype).unsqueeze(1)
    slope = (time * values).sum(0) / time.square().sum()
    return values - values.mean(0) - slope * time
