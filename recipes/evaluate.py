"""`spikeseq evaluate`: a trained model on a split, of its own data or another's."""

from pathlib import Path
from typing import Any

import torch

from spikeseq.recipes import runs
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.text_corpus import SPLITS, Corpus, Say, encode
from spikeseq.recipes.text_data import load_text_data, validation_split


def evaluate(run: Path, *, data: str | None, split: str, say: Say) -> dict[str, Any]:
    """Scores and energy of a run's model, with the vocabulary of the run.

    Raises:
        ValueError: unknown split, a run that is not finished, data with other classes.
    """
    if split not in SPLITS:
        raise ValueError(f"--split must be one of {', '.join(SPLITS)}, got {split!r}")
    classifier = runs.load(run)
    config = classifier.config
    source = data or config.data.source
    texts = load_text_data(
        source, text_column=config.data.text_column, label_column=config.data.label_column,
        test_share=config.data.test_share, seed=config.data.split_seed, limit=config.data.limit,
    )  # fmt: skip
    if texts.classes != classifier.classes:
        raise ValueError(
            f"{source} has the classes {texts.classes}, the model was trained on {classifier.classes}"
        )
    if split == "test":
        chosen = texts.test
    else:
        train, validation = validation_split(
            texts.train, config.data.validation_share, config.data.split_seed
        )
        chosen = train if split == "train" else validation
    say(f"tokenising {len(chosen.texts):,} texts")
    encoded = encode(classifier.tokenizer.tokenize_all(chosen.texts), chosen, classifier.vocab)
    corpus = Corpus(
        texts.name,
        texts.classes,
        classifier.vocab,
        classifier.tokenizer.signature(),
        None,
        None,
        {split: encoded},
    )
    recipe = RECIPES[config.recipe]
    task = recipe.task(config, corpus, classifier.model)
    result = recipe.test(config, task, classifier.model, split, torch.device("cpu"))
    energy = recipe.energy(config, task, classifier.model, split)
    return {
        "run": str(run),
        "data": texts.name,
        "split": split,
        **result,
        "spike_rate": energy["spike_rate"],
        "energy": energy,
    }
