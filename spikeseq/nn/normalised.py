"""Neurons with normalised currents, for tokens in parallel: (L, T, B, C), every token T sub-steps long.

`NormalisedLIF` and `NormalisedReLU` take and return the same, so that one block serves a spiking network and
its ReLU twin.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import choice, only_shapes, positive_int, sequence_lengths
from ..functional.norm_lif import check_currents, normalised
from ..modules import check_time_first
from ..ops.dispatch import tell
from ..ops.norm_lif import EPSILON, NORM_LIF, chains
from .lengths import cut, inside
from .lif import LIF

NORMS = ("layer", "batch", "none")


class NormalisedLIF(LIF):
    """LIF neurons whose currents are normalised first, so that no layer dies or saturates.

    Args:
        features: neurons of a token, C.
        substeps: T.
        norm: "layer" over the C currents of a token and sub-step, or "batch" per neuron over all of them
            (at inference it folds into the weights before it), or "none".
        persist: membranes go on from token to token; else every token starts from rest (thesis 6.5.3).
        neuron: arguments of `LIF`.
    """

    gain: Tensor
    offset: Tensor

    def __init__(
        self, features: int, *, substeps: int, norm: str = "layer", persist: bool = False, **neuron: Any
    ) -> None:
        super().__init__(substeps=substeps, **neuron)
        if self.planes:
            raise ValueError(
                f"surrogate {self.surrogate.name!r} remembers, which NormalisedLIF does not serve"
            )
        self.features = positive_int("features", features)
        self.norm, self.persist = choice("norm", norm, NORMS), persist
        add_norm(self, features, norm)

    batch: nn.BatchNorm1d | None

    def reset_parameters(self) -> None:
        """As `LIF`, and the normalisation does nothing more than normalise."""
        super().reset_parameters()
        reset_norm(self)

    def forward(  # type: ignore[override]
        self, currents: Tensor, state: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Spikes (L, T, B, C) and, if membranes persist, their state (B, C).

        Args:
            currents: (L, T, B, C), or (L, 1, B, C) held for all sub-steps.
            state: (B, C).
            lengths: (B,) tokens that count.
        """
        if self._forward_hooks:
            check_time_first(self)
        neuron = self.neuron()
        if self.norm == "layer":
            return normalised(
                currents, state, self.gain, self.offset, neuron, lengths, self.substeps, self.persist
            )
        tell(NORM_LIF, f"norm={self.norm!r} is not part of the op")
        lengths = check_blocks(currents, self.features, self.substeps, lengths)
        currents = cut(currents, lengths, 2)
        if self.batch is not None:
            currents = batch_normal(self.batch, currents, lengths) * self.gain + self.offset
        spikes, final = chains(currents, state, neuron, lengths, self.substeps, self.persist)
        return spikes, final if self.persist else None


class NormalisedReLU(nn.Module):
    """The ANN twin of `NormalisedLIF`: one sub-step, no memory.

    Args: features, norm as there.
    """

    substeps = 1
    persist = False

    gain: Tensor
    offset: Tensor

    def __init__(self, features: int, *, norm: str = "layer") -> None:
        super().__init__()
        self.features, self.norm = positive_int("features", features), choice("norm", norm, NORMS)
        add_norm(self, features, norm)

    batch: nn.BatchNorm1d | None

    def reset_parameters(self) -> None:
        """The normalisation does nothing more than normalise."""
        reset_norm(self)

    def forward(
        self, currents: Tensor, state: None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Activations (L, 1, B, C) of currents (L, 1, B, C); zero past the lengths."""
        lengths = check_blocks(currents, self.features, 1, lengths)
        currents = cut(currents, lengths, 2)
        if self.norm == "layer":
            currents = nn.functional.layer_norm(currents, (self.features,), self.gain, self.offset, EPSILON)
        elif self.batch is not None:
            currents = batch_normal(self.batch, currents, lengths) * self.gain + self.offset
        active = torch.relu(currents)
        return cut(active, lengths, 2), None


def check_blocks(currents: Tensor, features: int, substeps: int, lengths: Tensor | None) -> Tensor | None:
    """Refuses currents that are not (L, 1 or `substeps`, B, `features`); `lengths` if they fit them."""
    if check_currents(currents, substeps).shape[3] != features:
        raise ValueError(f"currents must have {features} features, got {tuple(currents.shape)}")
    return None if lengths is None else sequence_lengths(lengths, currents[:, 0])


def add_norm(module: Any, features: int, norm: str) -> None:
    """Gives `module` the gain, offset and statistics of its normalisation."""
    if norm != "none":
        module.gain = nn.Parameter(torch.ones(features))
        module.offset = nn.Parameter(torch.zeros(features))
    module.batch = nn.BatchNorm1d(features, affine=False) if norm == "batch" else None


def reset_norm(module: Any) -> None:
    """What `add_norm` gave, as it was then."""
    if module.norm != "none":
        nn.init.ones_(module.gain)
        nn.init.zeros_(module.offset)
    if module.batch is not None:
        module.batch.reset_parameters()


def batch_normal(norm: nn.BatchNorm1d, currents: Tensor, lengths: Tensor | None) -> Tensor:
    """Batch normalisation of (L, T, B, C) per neuron, over all tokens and sub-steps that count."""
    if lengths is None or not norm.training or only_shapes(currents):
        return norm(currents.flatten(0, 2)).view_as(currents)  # type: ignore[no-any-return]
    keep = inside(lengths, currents.shape[0]).unsqueeze(1).expand(currents.shape[:3]).flatten()
    flat = currents.flatten(0, 2)
    return torch.zeros_like(flat).index_put((keep,), norm(flat[keep])).view_as(currents)
