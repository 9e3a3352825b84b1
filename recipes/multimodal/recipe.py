"""The recipe for digits seen and heard, learnt by spike timing, without labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from spikeseq.recipes.engine import Progress
from spikeseq.recipes.history import State
from spikeseq.recipes.multimodal.classifier import PairClassifier, open_pair_classifier
from spikeseq.recipes.multimodal.cochlea import CHANNELS
from spikeseq.recipes.multimodal.data import SIZE, PairData, load_pairs
from spikeseq.recipes.multimodal.energy import account_of
from spikeseq.recipes.multimodal.model import PairNetwork, pair_network
from spikeseq.recipes.multimodal.task import MISSING, PairTask
from spikeseq.recipes.recipe import Metrics, Picture, Recipe, Say
from spikeseq.recipes.shared.parts import percent, spread
from spikeseq.recipes.shared.pictures import confusion_picture, weights_picture
from spikeseq.stdp import Votes

ENERGY_PAIRS = 200


class DigitsBySightAndSound(Recipe):
    """See `Recipe`."""

    figure = "accuracy"
    legend = (
        "vote, linear: accuracy of neurons labelled by their answers to training pairs, and of a linear map"
        " of their counts. no image, no sound: the vote where it is missing. spikes: per neuron and pair."
        " AC, nJ: per pair, 45 nm, an addition for every spike and synapse, 0.9 pJ. s: training."
    )
    unit = "pair"
    counted = "pairs"
    rows = (*Recipe.rows, "noise", "deviation")

    def load(self, config: Any, say: Say) -> PairData:
        return load_pairs(config.data, config.model.frames, say)

    def task(self, config: Any, corpus: PairData, model: PairNetwork | None = None) -> Any:
        model = model or pair_network(config, len(corpus.classes))
        after = config.model.cross_after
        return PairTask(model, corpus, config.train, config.evaluate, after, config.seed)

    def fit(
        self, task: PairTask, folder: Path, *, settings: Any, **options: Any
    ) -> tuple[PairNetwork, State]:
        """Learns on one process: pairs change the same weights one after the other."""
        if (processes := options["accelerator"].num_processes) > 1:
            raise ValueError(f"learning by spike timing takes one process, got {processes}")
        progress = options["progress"] or Progress()
        return task.fit(folder, resume=options["resume"], progress=progress)

    def test(
        self, config: Any, task: PairTask, model: PairNetwork, split: str, device: Any
    ) -> dict[str, Any]:
        """Accuracy in percent of both readouts; of the vote of each ensemble alone, and where a modality is
        missing; and what the connections across join."""
        pairs, network, classes = task.corpus.splits[split], model.network, len(task.corpus.classes)
        found, shown, guessed = task.accuracies(split)
        table = torch.zeros(classes, classes, dtype=torch.int64)
        table.index_put_((pairs.labels, guessed), torch.ones_like(guessed), accumulate=True)
        labels, counts = network.split(model.labels[None]), network.split(shown.counts)
        names = [name for name, used in zip(MISSING[1:], model.uses, strict=True) if used]
        for name, own, spikes in zip(names, labels, counts, strict=True):
            found[f"{name}_ensemble"] = percent(Votes(own[0], classes).predict(spikes), pairs.labels)
            found[f"{name}_spikes"] = round(float(spikes.sum(1).double().mean()), 2)
        if len(names) == 2:
            for missing in names:
                found[f"no_{missing}"] = task.accuracies(split, missing)[0]["vote"]
        return {
            **found,
            **across(model),
            "confusion": table.tolist(),
            "spikes": round(float(shown.counts.sum(1).double().mean()), 2),
            "repeats": round(float(shown.times.double().mean()) - 1, 3),
            "pairs": len(pairs),
        }

    def energy(self, config: Any, task: PairTask, model: PairNetwork, split: str) -> dict[str, Any]:
        return account_of(model, *task.inputs(split, spread(len(task.corpus.splits[split]), ENERGY_PAIRS)))

    def open(self, folder: Path, config: Any) -> PairClassifier:
        return open_pair_classifier(folder, config)

    def reopen(self, opened: PairClassifier, folder: Path, source: str, split: str, say: Say) -> Any:
        settings = opened.config.data.copy()
        settings.source = source
        corpus = load_pairs(settings, opened.config.model.frames, say)
        return self.task(opened.config, corpus, opened.model)

    def pictures(self, opened: PairClassifier, metrics: Metrics) -> Iterator[Picture]:
        """Weights of both ensembles (thesis fig. 3.6), of sounds a row for each part of a recording; and the
        confusion of classes."""
        network, (sees, hears) = opened.model.network, opened.model.uses
        if sees:
            yield weights_picture(network.get_parameter("weight0"), SIZE)
        if hears:
            yield weights_picture(network.get_parameter(f"weight{int(sees)}"), CHANNELS, "sound")
        yield confusion_picture(metrics, opened.classes, self.unit)

    def row(self, metrics: Metrics) -> dict[str, str]:
        account, test = metrics["energy"], metrics["test"]
        return {
            "model": metrics["model"],
            "vote %": f"{test['vote']:.2f}",
            "linear %": f"{test['linear']:.2f}",
            **{
                f"{key.replace('_', ' ')} %": f"{test[key]:.2f}" if key in test else "-"
                for key in ("no_image", "no_sound")
            },
            "spikes": f"{account['spike_rate']:.3f}",
            "M AC": f"{account['acs'] / 1e6:.3f}",
            "nJ": f"{account['picojoules'] / 1e3:.0f}",
            "s": f"{metrics['seconds']['train']:.0f}",
        }


def across(model: PairNetwork) -> dict[str, float]:
    """Of connections across: their share of all pairs of neurons, and how many of the strong ones, above half
    of the largest weight, join neurons of the same label (thesis fig. 3.12), in percent."""
    network = model.network
    if not network.plan.cross:
        return {}
    one, two = (labels[0] for labels in network.split(model.labels[None]))
    same = one[:, None] == two
    strong = [network.get_parameter(f"cross{c}") > model.most / 2 for c in range(2)]
    number = sum(int(s.sum()) for s in strong)
    right = int((strong[0] & same).sum() + (strong[1] & same.T).sum())
    found = {"strong_share": round(100 * number / (2 * same.numel()), 2)}
    return found | ({"strong_right": round(100 * right / number, 1)} if number else {})
