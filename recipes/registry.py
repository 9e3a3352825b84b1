"""The recipes by name. A recipe's room is imported when it is asked for, and torch with it, not before."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module

from spikeseq.recipes.recipe import Recipe

SEQUENCES = "spikeseq.recipes.sequences.recipe:SequenceClassification"
IMAGES = "spikeseq.recipes.images.recipe:ImageClassification"
CLASSES = {
    "imdb": "spikeseq.recipes.text.recipe:TextClassification",
    "sentences": "spikeseq.recipes.text.sentences:SentenceClassification",
    "lm": "spikeseq.recipes.language.recipe:LanguageModelling",
    "multi30k": "spikeseq.recipes.translation.recipe:Translation",
    "dvs128": "spikeseq.recipes.gestures.recipe:GestureClassification",
    "cifar10-stdp": "spikeseq.recipes.features.recipe:FeaturesByStdp",
    "mnist-stdp": "spikeseq.recipes.stdp.recipe:DigitsByStdp",
    "digits-multimodal": "spikeseq.recipes.multimodal.recipe:DigitsBySightAndSound",
    **dict.fromkeys(("psmnist", "scifar", "imdb-bytes"), SEQUENCES),
    **dict.fromkeys(("cifar10", "cifar100", "mnist", "svhn", "imagenette", "imagenet"), IMAGES),
}

OF_WORDS = "imdb"
"""The recipe that trains word vectors for `spikeseq vectors`."""


class Registry(Mapping[str, Recipe]):
    """The recipes of `CLASSES`, each made when it is first asked for; its names are known without that."""

    def __getitem__(self, name: str) -> Recipe:
        return _made(CLASSES[name])

    def __contains__(self, name: object) -> bool:
        return name in CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(CLASSES)

    def __len__(self) -> int:
        return len(CLASSES)


@lru_cache
def _made(where: str) -> Recipe:
    module, _, name = where.partition(":")
    recipe = getattr(import_module(module), name)()
    assert isinstance(recipe, Recipe), where
    return recipe


RECIPES = Registry()
