"""The recipes by name: how each reads its data, builds its task, is tested, opened and shown."""

from typing import Any, Protocol

from spikeseq.recipes.gestures.recipe import GestureClassification
from spikeseq.recipes.images.recipe import ImageClassification
from spikeseq.recipes.text.recipe import TextClassification
from spikeseq.recipes.translation.recipe import Translation


class Recipe(Protocol):
    """What `train`, `evaluate` and `load` need to know of a recipe.

    One whose runs may start from others may also have `check_start(config)`, which raises for what cannot be
    started from, and `blank(config, corpus)`, the model of a run that goes on, for which they are not needed.
    """

    figure: str
    """The test figure that runs are ranked by."""

    legend: str
    """What the columns of `row` mean, for people."""

    def load(self, config: Any, say: Any) -> Any:
        """The corpus: `name`, `splits`, and by `files()` and `facts()` what a run keeps and says of it."""

    def trains(self, config: Any) -> bool:
        """Whether a run trains its model, or tests it as the task has it."""

    def task(self, config: Any, corpus: Any, model: Any = None) -> Any:
        """What the engine trains, or what tests a trained model."""

    def test(self, config: Any, task: Any, model: Any, split: str, device: Any) -> dict[str, Any]:
        """The figures of a split; under "files", what a run folder keeps beside them, by file name."""

    def energy(self, config: Any, task: Any, model: Any, split: str) -> dict[str, Any]:
        """The account of `evaluation.energy.measure` over some texts of a split."""

    def open(self, folder: Any, config: Any) -> Any:
        """What `spikeseq.load` returns, weights still to be loaded into its `model`."""

    def reopen(self, opened: Any, folder: Any, source: str, split: str, say: Any) -> Any:
        """The task of an opened run on a split of any data, with the vocabulary of the run."""

    def row(self, metrics: dict[str, Any]) -> dict[str, str]:
        """A line of the comparison table."""


IMAGES = ("cifar10", "cifar100", "mnist", "svhn", "imagenette", "imagenet")
RECIPES: dict[str, Recipe] = {
    "imdb": TextClassification(),
    "multi30k": Translation(),
    **{name: ImageClassification() for name in IMAGES},
    "dvs128": GestureClassification(),
}
