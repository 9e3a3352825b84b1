"""The recipe for digits learnt by spike timing, without labels."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spikeseq import stdp
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.history import State
from spikeseq.recipes.recipe import Metrics, Picture, Recipe, Say
from spikeseq.recipes.shared.images.classifier import PixelClassifier, open_pixel_classifier
from spikeseq.recipes.shared.images.data import ImageData, load_images, open_split
from spikeseq.recipes.shared.images.digits import digit_sample
from spikeseq.recipes.shared.parts import spread
from spikeseq.recipes.shared.pictures import confusion_picture, weights_picture
from spikeseq.recipes.stdp.energy import account_of
from spikeseq.recipes.stdp.model import DigitNetwork, digit_network, rule_of, thresholds_of
from spikeseq.recipes.stdp.task import DigitTask

ENERGY_IMAGES = 200


class DigitsByStdp(Recipe):
    """See `Recipe`."""

    figure = "accuracy"
    pipeline = "image-classification"
    use = 'opened.predict(["picture.png"])'
    legend = (
        "vote, linear: accuracy of neurons labelled by their answers to training images, and of a linear map"
        " of their counts. spikes: per neuron and image. kept: share of the synapses. AC, nJ: per image, 45"
        " nm, an addition for every spike and synapse, 0.9 pJ. s: training."
    )
    unit = "image"
    counted = "images"

    def load(self, config: Any, say: Say) -> ImageData:
        return digit_sample(config.data) if config.data.source == "sample" else load_images(config.data, say)

    def task(self, config: Any, corpus: ImageData, model: DigitNetwork | None = None) -> DigitTask:
        classes, channels, size = corpus.shape
        model = model or digit_network(config, classes, channels * size * size)
        ways = partial(rule_of, config.model), partial(thresholds_of, config.model)
        return DigitTask(model, corpus, *ways, config.prune, config.train, config.evaluate, config.seed)

    def fit(
        self, task: DigitTask, folder: Path, *, resume: bool, accelerator: Any, progress: Any, **_: Any
    ) -> tuple[DigitNetwork, State]:
        """Learns on one process: images change the same weights one after the other."""
        if accelerator.num_processes > 1:
            raise ValueError(f"learning by spike timing takes one process, got {accelerator.num_processes}")
        return task.fit(folder, resume=resume, progress=progress or Progress())

    def test(
        self, config: Any, task: DigitTask, model: DigitNetwork, split: str, device: Any
    ) -> dict[str, Any]:
        """Accuracy in percent of both readouts, how often images were shown, and who was taken for whom."""
        images = task.corpus.splits[split]
        found, shown, guessed = task.accuracies(split)
        classes = len(task.corpus.classes)
        table = torch.zeros(classes, classes, dtype=torch.int64)
        table.index_put_((images.labels, guessed), torch.ones_like(guessed), accumulate=True)
        return {
            **found,
            "confusion": table.tolist(),
            "spikes": round(float(shown.counts.sum(1).double().mean()), 2),
            "repeats": round(float(shown.times.double().mean()) - 1, 3),
            "connectivity": round(stdp.connectivity(model.network.get_parameter("weight0")), 4),
            "images": len(images),
        }

    def energy(self, config: Any, task: DigitTask, model: DigitNetwork, split: str) -> dict[str, Any]:
        pixels = task.corpus.splits[split].pixels
        return account_of(model, pixels[spread(len(pixels), ENERGY_IMAGES)])

    def open(self, folder: Path, config: Any) -> PixelClassifier:
        def make(classes: int, channels: int, size: int) -> DigitNetwork:
            return digit_network(config, classes, channels * size * size)

        return open_pixel_classifier(folder, config, make)

    def reopen(self, opened: PixelClassifier, folder: Path, source: str, split: str, say: Say) -> DigitTask:
        """Raises ValueError for data with other classes."""
        settings = opened.config.data.copy()
        settings.source = source
        if source == "sample":
            return self.task(opened.config, digit_sample(settings), opened.model)
        images, classes = open_split(settings, split, say)
        if classes != opened.classes:
            raise ValueError(f"{source} has the classes {classes}, the model was trained on {opened.classes}")
        return self.task(
            opened.config, ImageData(Path(source).name, classes, {split: images}, [], []), opened.model
        )

    def pictures(self, opened: Any, metrics: Metrics) -> Iterator[Picture]:
        """Weights of some neurons (thesis fig. 2.5, 3.6), and the confusion of classes."""
        yield weights_picture(opened.model.network.get_parameter("weight0"), opened.size)
        yield confusion_picture(metrics, opened.classes, self.unit)

    def row(self, metrics: Metrics) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        return {
            "model": metrics["model"],
            "vote %": f"{test['vote']:.2f}",
            "linear %": f"{test['linear']:.2f}",
            "spikes": f"{account['spike_rate']:.3f}",
            "kept": f"{test['connectivity']:.2f}",
            "M AC": f"{account['acs'] / 1e6:.3f}",
            "nJ": f"{account['picojoules'] / 1e3:.0f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }
