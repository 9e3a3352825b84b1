"""The recipe for gestures from an event camera: dvs128."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq import evaluation
from spikeseq.recipes.gestures.classifier import GestureClassifier, open_gesture_classifier
from spikeseq.recipes.gestures.data import GestureData, load_gestures, open_split
from spikeseq.recipes.gestures.models import gesture_network, one_by_one
from spikeseq.recipes.gestures.task import GestureTask
from spikeseq.recipes.recipe import Metrics, Recipe, Say


class GestureClassification(Recipe):
    """See `Recipe`."""

    figure = "accuracy"
    pipeline = "video-classification"
    use = 'opened.predict(["recording.npy"])'
    legend = (
        "cw/ccw %: rotations whose direction is told. ms, events: median until the decision is right for"
        " good. spikes: per neuron and gesture. MAC, AC, uJ: per gesture, 45 nm, compute only, 4.6 pJ a MAC,"
        " 0.9 pJ an AC. s: training."
    )

    unit = "gesture"
    counted = "recordings"
    rows = ("source", "limit", "split_seed", "validation_subjects")

    def load(self, config: Any, say: Say) -> GestureData:
        """The encoded recordings, read once the other settings are known to be good."""
        with torch.device("meta"):  # no memory, only the checks
            gesture_network(config, 2)
        return load_gestures(config.data, say)

    def task(self, config: Any, corpus: GestureData, model: nn.Module | None = None) -> GestureTask:
        train = config.train
        return GestureTask(
            gesture_network(config, len(corpus.classes)) if model is None else model,
            corpus,
            train.batch_size,
            config.seed,
            config.data.sensor_shift,
            train.label_smoothing,
            train.precision,
            one_by_one(config),
        )

    def test(
        self, config: Any, task: GestureTask, model: nn.Module, split: str, device: torch.device
    ) -> dict[str, Any]:
        """See `GestureTask.figures`."""
        return task.figures(model, task.corpus.splits[split], device)

    def energy(self, config: Any, task: GestureTask, model: nn.Module, split: str) -> dict[str, Any]:
        """Per gesture, over some recordings of a split."""
        data = task.corpus.splits[split]
        by_class = torch.argsort(data.labels, stable=True)
        count = min(config.evaluate.energy_recordings, len(data))
        rows = by_class[torch.linspace(0, len(data) - 1, count).long()].tolist()
        inputs = [(task.sequence(data.frames[row : row + 1]),) for row in rows]
        account = evaluation.measure_energy(
            model, inputs, tokens=len(inputs), input_kind="spikes", unit=self.unit
        )  # counts of events
        return account

    def open(self, folder: Path, config: Any) -> GestureClassifier:
        return open_gesture_classifier(folder, config)

    def reopen(
        self, opened: GestureClassifier, folder: Path, source: str, split: str, say: Say
    ) -> GestureTask:
        config = opened.config
        settings = config.data.copy()
        settings.source = source
        found, classes = open_split(settings, split, say)
        data = GestureData(Path(source).name, classes, opened.encoding, {split: found})
        return self.task(config, data, opened.model)

    def used(self, config: Any, metrics: Metrics) -> dict[str, Any]:
        """Recordings are the same data where as much of them is seen: as many events within their frames.

        Of those trained on, `data.drop` may leave out some.
        """
        events = metrics.get("events")
        seen = events and {split: count for split, count in events.items() if split != "train"}
        return super().used(config, metrics) | {"events": seen}

    def draw(self, folder: Path, metrics: Metrics, load: Callable[[Path], Any]) -> None:
        """`decisions.png`: how many are right after each frame."""
        if "accuracy_by_frame" in metrics["test"]:
            from spikeseq.recipes.gestures.plots import plot_decisions

            plot_decisions(folder / "decisions.png", {folder.name: metrics["test"]})

    def row(self, metrics: dict[str, Any]) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        latency = test.get("latency", {})
        return {
            "model": f"{metrics['model']} {metrics['method']}",
            "test %": f"{test['accuracy']:.2f}",
            "cw/ccw %": shown(test.get("accuracy_direction"), ".1f"),
            "ms": shown(latency.get("ms"), ".0f"),
            "events": shown(latency.get("events"), ",.0f"),
            "spikes": shown(account["spike_rate"], ".2f"),
            "M MAC": f"{account['macs'] / 1e6:.2f}",
            "M AC": f"{account['acs'] / 1e6:.2f}",
            "uJ": f"{account['picojoules'] / 1e6:.1f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }


def shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
