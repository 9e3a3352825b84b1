"""From spike counts to classes: neurons with labels that vote, and a linear map.

The labels given to `fit` must be those of training examples: neurons labelled by their answers to the test
examples would know these.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Votes(NamedTuple):
    """Neurons that stand for the class they answer most (Diehl and Cook 2015; thesis section 2.2.3).

    labels: of every neuron, (neurons) int64; -1 for one that never fired. classes: how many there are.
    """

    labels: Tensor
    classes: int

    @staticmethod
    def fit(counts: Tensor, targets: Tensor, classes: int) -> "Votes":
        """Labels neurons by their mean count over the training examples of every class.

        Args:
            counts: (N, neurons). targets: (N) int64, of training examples.
        """
        check_labelled(counts, targets, classes)
        means = class_means(counts, targets, classes)
        silent = counts.sum(0) == 0
        return Votes(means.argmax(0).masked_fill(silent, -1), classes)

    def scores(self, counts: Tensor) -> Tensor:
        """The mean count of every class's neurons, (N, classes); 0 for a class that has none."""
        mine = one_hot(self.labels.clamp_min(0), self.classes).double() * (self.labels >= 0)[:, None]
        return (counts.double() @ mine) / mine.sum(0).clamp_min(1)

    def predict(self, counts: Tensor) -> Tensor:
        """The class with the highest score, (N); the first one of equals."""
        return self.scores(counts).argmax(1)


def check_loaded(module: Any, _keys: Any = None) -> None:
    """Refuses labels that no class has, in a module with `labels` and `weight` (neurons + 1, classes).

    For `nn.Module.register_load_state_dict_post_hook`, as files may be damaged.

    Raises:
        ValueError: naming one.
    """
    classes = module.weight.shape[1]
    odd = module.labels[(module.labels < -1) | (module.labels >= classes)]
    if odd.numel():
        raise ValueError(f"labels must lie in [-1, {classes}), got {int(odd[0])}")


ROWS = 2000
"""Examples whose sums a linear map takes at once: memory grows with the neurons, not with the examples."""


class Linear(NamedTuple):
    """A linear map of spike counts, by least squares with a penalty on its weights.

    weight: (neurons + 1, classes) float64, the last row is the bias.
    """

    weight: Tensor

    @staticmethod
    def fit(counts: Tensor, targets: Tensor, classes: int, penalty: float = 10.0) -> "Linear":
        """The map whose outputs are nearest to 1 for the class of a training example and 0 for others."""
        check_labelled(counts, targets, classes)
        gram = penalty * torch.eye(counts.shape[1] + 1, dtype=torch.float64)
        cross = torch.zeros(counts.shape[1] + 1, classes, dtype=torch.float64)
        for part, wanted in zip(counts.split(ROWS), targets.split(ROWS), strict=True):
            # Few neurons answer an example: sparse, 6,400 neurons take seconds where they took minutes.
            x = with_bias(part)
            rows = x.to_sparse().t()
            gram += torch.sparse.mm(rows, x)
            cross += torch.sparse.mm(rows, one_hot(wanted, classes).double())
        return Linear(torch.linalg.solve(gram, cross))

    def scores(self, counts: Tensor) -> Tensor:
        """(N, classes)."""
        return with_bias(counts) @ self.weight

    def predict(self, counts: Tensor) -> Tensor:
        return self.scores(counts).argmax(1)


class Sums:
    """What a linear map is fitted from, gathered in parts: memory grows with the features, not the examples.

    Unlike `Linear.fit`, the penalty is on weights of standardised features: rates of neurons that seldom fire
    count as much as those of others. A map without a bias that is penalised.

    Args:
        classes: how many there are.
    """

    def __init__(self, classes: int) -> None:
        self.classes, self.count = classes, 0
        self.members = torch.zeros(classes, dtype=torch.float64)
        self.gram = self.total = self.cross = torch.zeros(())

    def add(self, features: Tensor, targets: Tensor) -> None:
        """Features (N, F), their classes (N) int64, of training examples; N of 1 or more."""
        x, member = features.double(), one_hot(targets, self.classes).double()
        self.count += len(x)
        self.members = self.members + member.sum(0)
        self.total, self.gram = self.total + x.sum(0), self.gram + x.T @ x
        self.cross = self.cross + x.T @ member

    def fit(self, penalty: float = 10.0) -> Linear:
        """The map whose outputs are nearest to 1 for the class of an example and 0 for others.

        Raises:
            ValueError: examples of fewer than two classes.
        """
        if int((self.members > 0).sum()) < 2:
            raise ValueError(f"there must be examples of at least two classes, got {self.members.tolist()}")
        mean, shares = self.total / self.count, self.members / self.count
        gram = self.gram / self.count - mean[:, None] * mean
        scale = gram.diagonal().clamp_min(1e-12).sqrt().reciprocal()
        scale = scale * (gram.diagonal() > 1e-12)  # a feature that is the same everywhere says nothing
        cross = (self.cross / self.count - mean[:, None] * shares) * scale[:, None]
        gram = gram * scale[:, None] * scale + penalty / self.count * torch.eye(
            len(mean), dtype=torch.float64
        )
        weight = torch.linalg.solve(gram, cross) * scale[:, None]
        return Linear(torch.cat([weight, (shares - mean @ weight)[None]]))


def with_bias(counts: Tensor) -> Tensor:
    return torch.cat([counts.double(), counts.new_ones((len(counts), 1), dtype=torch.float64)], 1)


def class_means(counts: Tensor, targets: Tensor, classes: int) -> Tensor:
    """The mean count of every neuron over the examples of every class, (classes, neurons)."""
    member = one_hot(targets, classes).double()
    return (member.T @ counts.double()) / member.sum(0)[:, None].clamp_min(1)


def check_labelled(counts: Tensor, targets: Tensor, classes: int) -> None:
    """Raises ValueError naming what does not fit."""
    if counts.dim() != 2 or not len(counts):
        raise ValueError(f"counts must be (N, neurons) with at least one example, got {tuple(counts.shape)}")
    if targets.shape != counts.shape[:1] or targets.dtype != torch.int64:
        raise ValueError(
            f"targets must be ({len(counts)},) int64, got {tuple(targets.shape)} {targets.dtype}"
        )
    if not bool(((targets >= 0) & (targets < classes)).all()):
        raise ValueError(
            f"targets must lie in 0 to {classes - 1}, got {int(targets.min())} to {int(targets.max())}"
        )
    if len(targets.unique()) < 2:
        raise ValueError(f"there must be examples of at least two classes, got class {int(targets[0])} alone")
