"""What is damaged: finished runs, what a training goes on from, and files of data for every reader."""

from collections.abc import Sequence
from pathlib import Path

from spikeseq.evaluation.reliability.cases import Target
from spikeseq.evaluation.reliability.targets.images import of_images
from spikeseq.evaluation.reliability.targets.networks import of_networks
from spikeseq.evaluation.reliability.targets.recordings import of_recordings
from spikeseq.evaluation.reliability.targets.resuming import of_resuming
from spikeseq.evaluation.reliability.targets.runs import MADE, of_runs, trained
from spikeseq.evaluation.reliability.targets.texts import of_texts
from spikeseq.evaluation.reliability.targets.vocabularies import of_vocabularies


def targets_in(place: Path, runs: Path, made: Sequence[str] = MADE) -> list[Target]:
    """Every target, its files in folders of `place`; finished runs are copied from `runs`, `made` trained."""
    finished = sorted(folder for folder in runs.iterdir() if (folder / "metrics.json").exists())
    finished += trained(place / "trained", made)
    return [
        *of_runs(finished, place / "runs"),
        *of_resuming(place / "resuming"),
        *of_texts(place / "texts"),
        *of_vocabularies(place / "vocabularies"),
        *of_images(place / "images"),
        *of_recordings(place / "recordings"),
        *of_networks(place / "networks"),
    ]
