"""The recipe for images whose features are learnt by spike timing, without labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from spikeseq.recipes.engine import Progress
from spikeseq.recipes.features.energy import account_of
from spikeseq.recipes.features.model import ConvClassifier, conv_classifier
from spikeseq.recipes.features.pictures import kernels_picture
from spikeseq.recipes.features.task import FeatureTask
from spikeseq.recipes.history import State
from spikeseq.recipes.recipe import Metrics, Picture, Recipe, Say
from spikeseq.recipes.shared.images.classifier import PixelClassifier, open_pixel_classifier
from spikeseq.recipes.shared.images.data import ImageData, load_images, open_split
from spikeseq.recipes.shared.pictures import confusion_picture
from spikeseq.stdp import conv

ENERGY_IMAGES = 100


class FeaturesByStdp(Recipe):
    """See `Recipe`."""

    figure = "accuracy"
    pipeline = "image-classification"
    use = 'opened.predict(["picture.png"])'
    legend = (
        "images: that kernels were learnt from, without labels but for backprop. rate: share of the sub-steps"
        " in which a neuron fires. M MAC, M AC, nJ: per image, 45 nm. s: training of the kernels."
    )
    unit = "image"
    counted = "images"

    def load(self, config: Any, say: Say) -> ImageData:
        return load_images(config.data, say)

    def task(self, config: Any, corpus: ImageData, model: ConvClassifier | None = None) -> FeatureTask:
        classes, channels, size = corpus.shape
        conv.check_side(config.model.side, size)
        places = (size - config.model.side) // config.model.stride + 1
        if config.model.pool > places:
            raise ValueError(
                f"model.pool must be at most {places}, the places of a kernel, got {config.model.pool}"
            )
        model = model or conv_classifier(config, classes, channels)
        return FeatureTask(model, corpus, config.train, config.evaluate, config.seed)

    def fit(
        self,
        task: FeatureTask,
        folder: Path,
        *,
        resume: bool,
        accelerator: Any,
        progress: Progress | None,
        **_: Any,
    ) -> tuple[ConvClassifier, State]:
        """Learns on one process: patches change the same weights one after the other."""
        if accelerator.num_processes > 1:
            raise ValueError(f"learning by spike timing takes one process, got {accelerator.num_processes}")
        return task.fit(folder, resume=resume, progress=progress or Progress())

    def test(
        self, config: Any, task: FeatureTask, model: ConvClassifier, split: str, device: Any
    ) -> dict[str, Any]:
        """Accuracy in percent, and who was taken for whom."""
        images = task.corpus.splits[split]
        guessed = model(images.pixels).argmax(1)
        classes = len(task.corpus.classes)
        table = torch.zeros(classes, classes, dtype=torch.int64)
        table.index_put_((images.labels, guessed), torch.ones_like(guessed), accumulate=True)
        rows, known = config.train.images, len(task.corpus.splits.get("train", ()))
        return {
            "accuracy": round(100 * float(table.diagonal().sum()) / len(images), 3),
            "confusion": table.tolist(),
            "images": len(images),
            "kernel_images": min(rows or known, known) or rows,
        }

    def energy(self, config: Any, task: FeatureTask, model: ConvClassifier, split: str) -> dict[str, Any]:
        pixels = task.corpus.splits[split].pixels
        rows = torch.linspace(0, len(pixels) - 1, min(len(pixels), ENERGY_IMAGES)).round().long()
        return account_of(model, pixels[rows])

    def open(self, folder: Path, config: Any) -> PixelClassifier:
        def make(classes: int, channels: int, size: int) -> ConvClassifier:
            return conv_classifier(config, classes, channels)

        return open_pixel_classifier(folder, config, make)

    def reopen(self, opened: PixelClassifier, folder: Path, source: str, split: str, say: Say) -> FeatureTask:
        """Raises ValueError for data with other classes."""
        settings = opened.config.data.copy()
        settings.source = source
        images, classes = open_split(settings, split, say)
        if classes != opened.classes:
            raise ValueError(f"{source} has the classes {classes}, the model was trained on {opened.classes}")
        return self.task(
            opened.config, ImageData(Path(source).name, classes, {split: images}, [], []), opened.model
        )

    def pictures(self, opened: PixelClassifier, metrics: Metrics) -> Iterator[Picture]:
        """The kernels, and the confusion of classes."""
        model = opened.model
        assert isinstance(model, ConvClassifier)
        yield kernels_picture(model)
        yield confusion_picture(metrics, opened.classes, self.unit)

    def row(self, metrics: Metrics) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        return {
            "model": metrics["model"],
            "images": f"{test['kernel_images']:,}",
            "accuracy %": f"{test['accuracy']:.2f}",
            "rate": f"{account['spike_rate']:.3f}",
            "M MAC": f"{account['macs'] / 1e6:.2f}",
            "M AC": f"{account['acs'] / 1e6:.3f}",
            "nJ": f"{account['picojoules'] / 1e3:.0f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }
