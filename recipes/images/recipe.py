"""The recipe for images: cifar10 and its like, by one of the thesis's methods or by direct training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq import evaluation
from spikeseq.recipes.images.checks import augmentation, check_settings
from spikeseq.recipes.images.classifier import ImageClassifier, open_image_classifier
from spikeseq.recipes.images.models import empty, fresh
from spikeseq.recipes.images.start import check_start, inherited, open_teacher, start_model, taken_over
from spikeseq.recipes.images.task import ImageTask, spikes
from spikeseq.recipes.recipe import Metrics, Recipe, Say, Start, Table
from spikeseq.recipes.shared.images.data import ImageData, ImageSplit, load_images, open_split


class ImageClassification(Recipe):
    """See `Recipe`."""

    figure = "accuracy"
    pipeline = "image-classification"
    use = 'opened.predict(["picture.png"])'
    legend = (
        "T: sub-steps. spikes: per neuron and image, all sub-steps. MAC, AC, uJ: per image, 45 nm, compute"
        " only, 4.6 pJ a MAC, 0.9 pJ an AC, one for every spike. ratio: energy of the same network with ReLU"
        " / this one's (thesis table 5.3), by eq. 5.20: pooled spikes are one addition; counted: with"
        " one for every spike, as in uJ. s: training."
    )

    unit = "image"
    counted = "images"

    def inherited(self, start: Path, name: str, model: str | None, method: str | None) -> Start:
        return inherited(start, name, model, method)

    def taken_over(self, config: Any) -> Start:
        return taken_over(config)

    def check_start(self, config: Any) -> None:
        check_start(config)

    def load(self, config: Any, say: Say) -> ImageData:
        """The decoded images, read once the other settings are known to be good."""
        check_settings(config)
        data = load_images(config.data, say)
        if data.note:
            say(f"{data.name}: {data.note}")
        return data

    def trains(self, config: Any) -> bool:
        """Whether there is anything to train: a conversion only measures."""
        return bool(config.model.method != "convert")

    def task(self, config: Any, corpus: ImageData, model: nn.Module | None = None) -> ImageTask:
        model = start_model(config, corpus) if model is None else model
        train = config.train
        return ImageTask(
            model,
            corpus,
            train.batch_size,
            config.seed,
            augmentation(config, corpus.shape[-1]),
            train.label_smoothing,
            train.precision,
            config.model.chunk,
            open_teacher(config, corpus) if "train" in corpus.splits else None,
        )

    def blank(self, config: Any, corpus: ImageData) -> nn.Module:
        """The model of a run that goes on, its weights still to be loaded: no threshold is measured again."""
        return empty(config, *corpus.shape)

    def test(
        self, config: Any, task: ImageTask, model: nn.Module, split: str, device: torch.device
    ) -> dict[str, Any]:
        """Accuracy in percent; of a spiking network also after each sub-step."""
        images = some_of(task.corpus.splits[split], config.evaluate.images)
        result: dict[str, Any] = {}
        if spikes(model):
            curve = task.accuracy_by_substep(model, images, device)
            result |= {"accuracy": round(curve[-1], 3), "accuracy_by_substep": [round(a, 3) for a in curve]}
        else:
            result["accuracy"] = round(task.accuracy(model, images, device), 3)
        return result | {"images": len(images)}

    def energy(self, config: Any, task: ImageTask, model: nn.Module, split: str) -> dict[str, Any]:
        """Per image, over some images of a split, and the ratio of thesis table 5.3."""
        images = some_of(task.corpus.splits[split], config.evaluate.energy_images)
        device = torch.device("cpu")
        steps = getattr(model, "substeps", 1)
        inputs = [(task.normalised(part, device),) for part in images.pixels.split(max(1, 20 // steps))]
        torch.manual_seed(config.seed)
        account = evaluation.measure_energy(
            model, inputs, tokens=len(images), input_kind="analog", unit=self.unit
        )
        if spikes(model):
            plain = config.copy()
            if plain.model.norm != "none":
                plain.model.norm = "batch"  # which an ANN can have
            twin = fresh(plain, *task.corpus.shape, spiking=False)
            dense = evaluation.measure_energy(twin, [(inputs[0][0][:1],)], tokens=1, input_kind="analog")
            from spikeseq.evaluation.energy.images import feeding_neurons, table_5_3

            feeding = feeding_neurons(model, inputs[0][0][:1])
            account["table_5_3"] = table_5_3(account["layers"], dense["layers"], feeding)
        return account

    def open(self, folder: Path, config: Any) -> ImageClassifier:
        return open_image_classifier(folder, config)

    def reopen(self, opened: ImageClassifier, folder: Path, source: str, split: str, say: Say) -> ImageTask:
        """Raises ValueError for data with other classes."""
        config = opened.config
        settings = config.data.copy()
        settings.source = source
        images, classes = open_split(settings, split, say)
        if classes != opened.classes:
            raise ValueError(f"{source} has the classes {classes}, the model was trained on {opened.classes}")
        data = ImageData(Path(source).name, classes, {split: images}, opened.mean, opened.std)
        return self.task(config, data, opened.model)

    def used(self, config: Any, metrics: Metrics) -> dict[str, Any]:
        return super().used(config, metrics) | {"evaluate.images": config.evaluate.images}

    def tables(self, runs: Mapping[str, Metrics]) -> list[Table]:
        """Of runs with spikes: thesis table 5.3."""
        from spikeseq.evaluation.energy.images import LEGEND, table_5_3_rows

        lines = table_5_3_rows(runs)
        title = "energy beside the same network with ReLU"
        return [Table("table_5_3", title, lines, LEGEND)] if lines else []

    def row(self, metrics: dict[str, Any]) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        table = account.get("table_5_3")
        return {
            "model": f"{metrics['model']} {metrics['method']}",
            "T": "" if table is None else str(len(test["accuracy_by_substep"])),
            "test %": f"{test['accuracy']:.2f}",
            "spikes": "" if account["spike_rate"] is None else f"{account['spike_rate']:.3f}",
            "M MAC": f"{account['macs'] / 1e6:.2f}",
            "M AC": f"{account['acs'] / 1e6:.2f}",
            "uJ": f"{account['picojoules'] / 1e6:.1f}",
            "ratio": "" if table is None else f"{table['ratio']:.1f}",
            "counted": "" if table is None else f"{table['measured_ratio']:.1f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }


def some_of(split: ImageSplit, count: int | None) -> ImageSplit:
    """`count` images, as many of each class as there are in their place; None for all."""
    if count is None or count >= len(split):
        return split
    order = torch.argsort(split.labels, stable=True)
    rows = order[torch.linspace(0, len(split) - 1, count).long()]
    return ImageSplit(split.pixels[rows], split.labels[rows])
