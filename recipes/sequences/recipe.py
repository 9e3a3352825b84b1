"""The recipe for long sequences: psmnist, scifar and imdb-bytes."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq import evaluation
from spikeseq.nn.state import bytes_of
from spikeseq.recipes.recipe import Recipe, Say
from spikeseq.recipes.sequences.classifier import SequenceRun, open_sequence_run
from spikeseq.recipes.sequences.data import SequenceCorpus, load_sequences, open_sequences
from spikeseq.recipes.sequences.task import SequenceTask, build_task, new_model, spread


class SequenceClassification(Recipe):
    """See `Recipe`."""

    figure = "accuracy"
    legend = (
        "streamed: % of sequences that get the same answer row by row. spikes: per neuron and row (and tick)."
        " state: bytes from one row to the next. MAC, AC, nJ: per row, 45 nm, compute only, 4.6 pJ a"
        " MAC, 0.9 pJ an AC. s: training."
    )
    unit = "row"
    counted = "sequences"
    rows = (
        *Recipe.rows, "recipe", "size", "permutation", "text_column", "label_column", "test_share", "longest",
    )  # fmt: skip

    def load(self, config: Any, say: Say) -> SequenceCorpus:
        """The sequences, read once the other settings are known to be good."""
        with torch.device("meta"):  # no memory, only the checks
            new_model(config, 2)
        corpus = load_sequences(config.data, say)
        if corpus.note:
            say(f"{corpus.name}: {corpus.note}")
        return corpus

    def task(self, config: Any, corpus: SequenceCorpus, model: Any = None) -> SequenceTask:
        return build_task(config, corpus, model)

    def test(
        self, config: Any, task: SequenceTask, model: nn.Module, split: str, device: torch.device
    ) -> dict[str, Any]:
        """Accuracy in percent; and of some sequences, whether a stream gives the same answers."""
        streamed = task.streamed_difference(model, split, config.evaluate.streamed_sequences, device)
        return {"accuracy": round(task.accuracy(model, split, device), 3), "streamed": streamed}

    def energy(self, config: Any, task: SequenceTask, model: nn.Module, split: str) -> dict[str, Any]:
        """Per row, over evenly spread sequences of a split."""
        data = task.corpus.splits[split]
        inputs = [task.batch(data, [row]) for row in spread(len(data), config.evaluate.energy_sequences)]
        rows = sum(int(lengths.sum()) for _, lengths, _ in inputs)
        ticks = sum(len(x) for x, _, _ in inputs) // task.stride
        account = evaluation.measure_energy(
            model, [(x,) for x, _, _ in inputs], tokens=rows, input_kind="analog", unit=self.unit
        )
        rate = account["spike_rate"]
        account["spike_rate_per_tick"] = None if rate is None else rate * rows / ticks
        _, state = model(inputs[0][0])
        return account | {"bytes_of_state": bytes_of(state)}

    def open(self, folder: Path, config: Any) -> SequenceRun:
        return open_sequence_run(folder, config)

    def reopen(self, opened: SequenceRun, folder: Path, source: str, split: str, say: Say) -> SequenceTask:
        """Raises ValueError for data with other classes."""
        settings = opened.config.data.copy()
        settings.source, settings.size = source, opened.reading.size
        found, classes, name = open_sequences(settings, split, say)
        if classes != opened.classes:
            raise ValueError(f"{source} has the classes {classes}, the model was trained on {opened.classes}")
        corpus = SequenceCorpus(name, classes, {split: found}, opened.reading)
        return build_task(opened.config, corpus, opened.model)

    def row(self, metrics: dict[str, Any]) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        rate, by_tick = account["spike_rate"], account["spike_rate_per_tick"]
        return {
            "model": metrics["model"],
            "test %": f"{test['accuracy']:.2f}",
            "streamed": f"{test['streamed']['same']:.0f}",
            "parameters": f"{metrics['parameters']:,}",
            "spikes": "" if rate is None else f"{rate:.4f} ({by_tick:.3f})",
            "state": f"{account['bytes_of_state']:,}",
            "MAC/row": f"{account['macs']:,.0f}",
            "AC/row": f"{account['acs']:,.0f}",
            "nJ/row": f"{account['picojoules'] / 1000:.2f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }
