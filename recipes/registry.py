"""The recipes by name: how each reads its data, builds its task and is tested."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from spikeseq.evaluation.energy import measure_energy
from spikeseq.models import build_classifier
from spikeseq.recipes.text_corpus import Corpus, Say, load_corpus
from spikeseq.recipes.text_task import TextTask, build_task, crop


@dataclass(frozen=True)
class TextClassification:
    """Sentiment, or any classification of texts."""

    models = ("snn", "lstm", "gru", "rnn", "bow")

    def load(self, config: Any, say: Say) -> Corpus:
        """The tokenised and encoded data, read once the other settings are known to be good."""
        if config.evaluate.energy_texts < 1:
            raise ValueError(f"evaluate.energy_texts must be at least 1, got {config.evaluate.energy_texts}")
        build_classifier(config.model, vocabulary=2, classes=2)
        if config.data.vectors == "train" and config.data.vector_size != config.model.embedding_size:
            sizes = f"{config.data.vector_size} and {config.model.embedding_size}"
            raise ValueError(f"data.vector_size and model.embedding_size must be equal, got {sizes}")
        return load_corpus(config.data, say)

    def task(self, config: Any, corpus: Corpus, model: nn.Module | None = None) -> TextTask:
        """What the engine trains, or what tests a trained model."""
        return build_task(config, corpus, model)

    def test(
        self, config: Any, task: TextTask, model: nn.Module, split: str, device: torch.device
    ) -> dict[str, Any]:
        """Accuracy, spike rate and energy on a split."""
        result: dict[str, Any] = {"accuracy": round(task.accuracy(model, split, device), 3)}
        if config.evaluate.shuffled:
            shuffled = task.accuracy(model, split, device, shuffled=config.data.split_seed)
            result["accuracy_shuffled"] = round(shuffled, 3)
        return result

    def energy(self, config: Any, task: TextTask, model: nn.Module, split: str) -> dict[str, Any]:
        """The energy account of `evaluation.energy`, over evenly spread texts of a split."""
        data = task.corpus.splits[split]
        count = min(config.evaluate.energy_texts, len(data))
        chosen = torch.linspace(0, len(data) - 1, count).long().tolist()
        texts = [crop(data.text(i), task.longest) for i in chosen]
        inputs = [(text.unsqueeze(1), torch.tensor([len(text)])) for text in texts]
        return measure_energy(model, inputs, tokens=sum(map(len, texts)))


RECIPES = {"imdb": TextClassification()}
