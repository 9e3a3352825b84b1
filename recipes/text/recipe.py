"""The recipe for sentiment, or any classification of texts."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq import evaluation
from spikeseq.models import build_classifier
from spikeseq.recipes.recipe import Recipe, Say, Start
from spikeseq.recipes.shared.texts.data import load_text_data
from spikeseq.recipes.text.classifier import Classifier, open_classifier
from spikeseq.recipes.text.corpus import Corpus, encode, load_corpus
from spikeseq.recipes.text.start import check_start, inherited, shape, taken_over
from spikeseq.recipes.text.task import TextTask, build_task, crop, fresh_model
from spikeseq.recipes.text.teachers import check_teachers, lessons
from spikeseq.recipes.text.vectors import trained_vectors
from spikeseq.tokenizers import Vocab


class TextClassification(Recipe):
    """See `Recipe`."""

    figure = "accuracy"
    pipeline = "text-classification"
    use = 'opened.predict(["not a dull film"])'
    legend = (
        "shuffled: test % with shuffled tokens. parameters: outside the embedding. spikes: per neuron and"
        " token, all sub-steps. nJ: compute only, 45 nm, 4.6 pJ a MAC, 0.9 pJ an AC. s: training."
    )

    example = "In the first half the acting was charming and funny, but by the last scene it was flat."
    rows = (*Recipe.rows, "text_column", "label_column", "test_share")

    def used(self, config: Any, metrics: dict[str, Any]) -> dict[str, Any]:
        folds = {f"data.{key}": config.data[key] for key in ("folds", "fold") if config.data.folds}
        return super().used(config, metrics) | folds

    def inherited(self, start: Path, name: str, model: str | None, method: str | None) -> Start:
        return inherited(start, name, model)

    def taken_over(self, config: Any) -> Start:
        return taken_over(config)

    def check_start(self, config: Any) -> None:
        check_start(config)
        check_teachers(config)

    def blank(self, config: Any, corpus: Corpus) -> nn.Module:
        """Without the weights of the run that it started from, which may be gone."""
        return fresh_model(config, corpus, begins=False)

    def load(self, config: Any, say: Say) -> Corpus:
        """The tokenised and encoded data, read once the other settings are known to be good."""
        build_classifier(shape(config.model), vocabulary=2, classes=2)
        if config.data.vectors == "train" and config.data.vector_size != config.model.embedding_size:
            sizes = f"{config.data.vector_size} and {config.model.embedding_size}"
            raise ValueError(f"data.vector_size and model.embedding_size must be equal, got {sizes}")
        corpus = load_corpus(config.data, say)
        if corpus.found is not None:
            say(f"{100 * corpus.found:.1f} % of the vocabulary have a word vector")
        return corpus

    def task(self, config: Any, corpus: Corpus, model: nn.Module | None = None) -> TextTask:
        task = build_task(config, corpus, model)
        task.lessons = lessons(config, corpus)
        return task

    def test(
        self, config: Any, task: TextTask, model: nn.Module, split: str, device: torch.device
    ) -> dict[str, Any]:
        """Accuracy, also on shuffled tokens if the configuration asks for it, in percent."""
        result: dict[str, Any] = {"accuracy": round(task.accuracy(model, split, device), 3)}
        if config.evaluate.shuffled:
            shuffled = task.accuracy(model, split, device, shuffled=config.data.split_seed)
            result["accuracy_shuffled"] = round(shuffled, 3)
        return result

    def energy(self, config: Any, task: TextTask, model: nn.Module, split: str) -> dict[str, Any]:
        """Over evenly spread texts of a split; under "variants" the same of what would be deployed.

        These are the model with its embedding `folded`, and models rounded after training, which are tested
        on the split again, as rounding costs accuracy: baselines in 8 bits (`int8`), and if the configuration
        asks for it spiking networks in whole numbers (`folded, 8 bits` and 4).
        """
        from spikeseq.evaluation.energy.variants import brief, folded, quantised
        from spikeseq.quantisation.spiking import quantise_spiking

        data = task.corpus.splits[split]
        count = min(config.evaluate.energy_texts, len(data))
        chosen = torch.linspace(0, len(data) - 1, count).long().tolist()
        texts = [crop(data.text(i), task.tested) for i in chosen]
        inputs = [(text.unsqueeze(1), torch.tensor([len(text)])) for text in texts]
        tokens = sum(map(len, texts))
        account = evaluation.measure_energy(model, inputs, tokens=tokens)
        account["variants"] = {}
        makers: dict[str, Callable[[nn.Module], nn.Module | None]] = {
            "folded": folded,
            "int8": quantised,
        }
        if config.evaluate.whole_numbers:
            makers |= {f"folded, {bits} bits": partial(quantise_spiking, bits=bits) for bits in (8, 4)}
        for name, make in makers.items():
            variant = make(model)
            if variant is not None:
                account["variants"][name] = brief(evaluation.measure_energy(variant, inputs, tokens=tokens))
            if variant is not None and name != "folded":
                # Spikes of every sub-step of all texts are in memory at once in whole numbers.
                found = task.accuracy(variant, split, torch.device("cpu"), at_once=128)
                account["variants"][name]["accuracy"] = round(found, 3)
        return account

    def vectors(self, source: str, overrides: list[str], say: Say) -> tuple[Vocab, torch.Tensor]:
        return trained_vectors(source, overrides, say)

    def open(self, folder: Path, config: Any) -> Classifier:
        return open_classifier(folder, config)

    def reopen(self, opened: Classifier, folder: Path, source: str, split: str, say: Say) -> TextTask:
        """Raises ValueError for data with other classes."""
        config = opened.config
        folds = config.data.folds if source == config.data.source else None  # others' splits are their own
        texts = load_text_data(
            source, text_column=config.data.text_column, label_column=config.data.label_column,
            test_share=config.data.test_share, folds=folds, fold=config.data.fold,
            seed=config.data.split_seed, limit=config.data.limit,
        )  # fmt: skip
        if texts.classes != opened.classes:
            raise ValueError(
                f"{source} has the classes {texts.classes}, the model was trained on {opened.classes}"
            )
        splits = {"test": texts.test}
        if split != "test":
            splits = texts.splits(config.data.validation_share, config.data.split_seed)
        chosen = splits[split]
        say(f"tokenising {len(chosen.texts):,} texts")
        encoded = encode(opened.tokenizer.tokenize_all(chosen.texts), chosen, opened.vocab)
        signature = opened.tokenizer.signature()
        corpus = Corpus(texts.name, texts.classes, opened.vocab, signature, None, None, {split: encoded})
        return build_task(config, corpus, opened.model)

    def thesis(self) -> tuple[str, Mapping[str, Any], str] | None:
        from spikeseq.evaluation.energy.thesis import TABLE_6_8

        return "6.8", TABLE_6_8, "snn"

    def row(self, metrics: dict[str, Any]) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        return {
            "model": metrics["model"],
            "test %": f"{test['accuracy']:.2f}",
            "shuffled": f"{test['accuracy_shuffled']:.2f}" if "accuracy_shuffled" in test else "",
            "parameters": f"{metrics['parameters_without_embeddings']:,}",
            "MAC/token": f"{account['macs']:,.0f}",
            "AC/token": f"{account['acs']:,.0f}",
            "spikes": "" if account["spike_rate"] is None else f"{account['spike_rate']:.3f}",
            "nJ/token": f"{account['picojoules'] / 1000:.2f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }
