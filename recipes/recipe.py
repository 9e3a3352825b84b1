"""What a recipe is: the one class that `train`, `evaluate`, `load`, the commands and reports know it by.

A recipe is data, a model and a configuration; there is one training loop. Its room, a folder beside this
file, holds a subclass of `Recipe`; `registry.py` has its name; CONTRIBUTING.md tells what to write.
Nothing here needs torch: commands start before it is imported.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from spikeseq.files import write_whole

if TYPE_CHECKING:
    from spikeseq.recipes.shared.opened import Opened

Say = Callable[[str], None]
"""Takes a line for people."""
Metrics = dict[str, Any]
"""What `metrics.json` of a run holds."""
SPLITS = ("train", "validation", "test")


class Corpus(Protocol):
    """All that a recipe is trained and tested on.

    name: of the data, for people. splits: what there is of train, validation and test.
    """

    name: str
    splits: Any

    def files(self) -> Mapping[str, str | bytes]:
        """What a run folder keeps of it, by file name, so that a run is opened without its data."""

    def facts(self) -> dict[str, Any]:
        """What `metrics.json` says of it: under `Recipe.counted`, the number of rows of every split."""


class Start(NamedTuple):
    """What a run takes over from the one that `--from` names: model, data source, `--set` values."""

    model: str
    source: str
    settings: list[str]


class Table(NamedTuple):
    """A table of `spikeseq energy`: its key under `--json`, its title, its lines and what they mean."""

    key: str
    title: str
    lines: list[dict[str, str]]
    legend: str


class Picture(NamedTuple):
    """A picture of a finished run: `name`.png in its folder, and a part of its report.

    figure: of matplotlib. alternative: what it shows, in words, for those who do not see it.
    """

    name: str
    heading: str
    caption: str
    alternative: str
    figure: Any


class Recipe(ABC):
    """How a kind of data is read, a model of it trained, tested, opened and shown.

    Instances keep nothing: what a method needs, it is given.
    """

    figure: str
    """The figure under "test" in `metrics.json` that runs are ranked by."""
    lower_is_better: bool = False
    """Whether a smaller figure is a better one."""
    points: str = "points"
    """What a difference of two figures is counted in, for people: points are those of a percentage."""
    legend: str
    """What the columns of `row` mean, for people."""
    unit: str = "token"
    """What figures of energy are per."""
    example: str = ""
    """What a report shows a model on, where no other text is asked for."""
    pipeline: str = ""
    """What the Hugging Face hub calls what a model does; nothing where it has no word for it."""
    use: str = "opened.model"
    """A line of Python that uses what `spikeseq.load` returned, `opened`."""
    counted: str = "texts"
    """Under which name `Corpus.facts` has the number of rows of every split."""
    rows: tuple[str, ...] = ("source", "limit", "split_seed", "validation_share")
    """Settings of the section `data` that decide which rows a run is trained, validated and tested on."""
    splits: tuple[str, ...] = SPLITS
    """What `spikeseq evaluate --split` takes."""
    names_tests: bool = False
    """Whether `--split` takes the name of one of several test sets as well."""
    writes_lines: bool = False
    """Whether `test` gives, under "files", SPLIT.hypotheses and SPLIT.references, a line for each row."""

    # From a configuration to a trained model.

    @abstractmethod
    def load(self, config: Any, say: Say) -> Corpus:
        """The data of a configuration, read once its other settings are known to be good.

        Raises:
            ValueError: naming the setting, or the file, that cannot be used.
        """

    @abstractmethod
    def task(self, config: Any, corpus: Any, model: Any = None) -> Any:
        """What the engine trains, or what tests a trained `model`; None: a fresh one of the seed."""

    def trains(self, config: Any) -> bool:
        """Whether a run trains its model, or only tests it as the task has it."""
        return True

    def fit(
        self,
        task: Any,
        folder: Path,
        *,
        settings: Any,
        resume: bool,
        accelerator: Any,
        progress: Any,
        seed: int,
    ) -> tuple[Any, Any]:
        """Trains the task's model; the model and its `history.State`. Arguments are those of `engine.fit`."""
        from spikeseq.recipes.engine import fit

        return fit(
            task, settings, folder, resume=resume, accelerator=accelerator, progress=progress, seed=seed
        )

    @abstractmethod
    def test(self, config: Any, task: Any, model: Any, split: str, device: Any) -> dict[str, Any]:
        """The figures of a split, `figure` among them; under "files", what a run folder keeps beside them."""

    @abstractmethod
    def energy(self, config: Any, task: Any, model: Any, split: str) -> dict[str, Any]:
        """The account of `evaluation.energy.measure_energy` over some rows of a split."""

    def vectors(self, source: str, overrides: list[str], say: Say) -> tuple[Any, Any]:
        """A vocabulary and its word vectors (V, E), trained on the texts of a source.

        Raises:
            ValueError: the recipe trains none; a setting that has no effect on them.
        """
        raise ValueError("this recipe trains no word vectors")

    # From a run folder to an opened model.

    @abstractmethod
    def open(self, folder: Path, config: Any) -> Opened:
        """What `spikeseq.load` returns, weights still to be loaded into its `model`."""

    @abstractmethod
    def reopen(self, opened: Any, folder: Path, source: str, split: str, say: Say) -> Any:
        """The task of an opened run on a split of any data, with what the run kept of its own."""

    # Runs that start from others (`--from`).

    def inherited(self, start: Path, name: str, model: str | None, method: str | None) -> Start:
        """What a run of the recipe `name` takes over from the run `start`.

        Raises:
            ValueError: nothing starts from another run in this recipe, or not from that one.
        """
        raise ValueError(f"--from: no run of {name!r} starts from another one; leave it out")

    def taken_over(self, config: Any) -> Start:
        """What `inherited` gave a run of this configuration, which may have lost the run it started from."""
        return Start(config.model.name, config.data.source, [])

    def check_start(self, config: Any) -> None:
        """Raises ValueError, before data is read, for what `config.model.start` cannot be started from."""
        return None

    def blank(self, config: Any, corpus: Any) -> Any:
        """The model of a run that goes on, for which the run that it started from need not be there.

        None: `task` makes the same model without another run.
        """
        return None

    # What is told of finished runs.

    @abstractmethod
    def row(self, metrics: Metrics) -> dict[str, str]:
        """A line of the comparison table; its column "model" comes first."""

    def used(self, config: Any, metrics: Metrics) -> dict[str, Any]:
        """What data a run used: runs are compared where all of it is equal."""
        used = {f"data.{key}": config.data[key] for key in self.rows}
        return used | {self.counted: metrics.get(self.counted)}

    def pictures(self, opened: Any, metrics: Metrics) -> Iterator[Picture]:
        """Pictures of a finished run beside its learning curve, that need the run alone."""
        return iter(())

    def draw(self, folder: Path, metrics: Metrics, load: Callable[[Path], Any]) -> None:
        """Pictures of a finished run, which `load` opens, into its folder."""
        if type(self).pictures is Recipe.pictures:  # it has none: the run need not be opened
            return
        for picture in self.pictures(load(folder), metrics):
            content = io.BytesIO()
            picture.figure.savefig(content, dpi=150, format="png")
            write_whole(folder / f"{picture.name}.png", content.getvalue())

    def scopes(self, name: str, account: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Lines of the table of `spikeseq energy` for an account: a name, and what it counts."""
        yield name, account

    def thesis(self) -> tuple[str, Mapping[str, Any], str] | None:
        """The thesis's table to stand below: its number, its lines by name, and which one "times" is of."""
        return None

    def tables(self, runs: Mapping[str, Metrics]) -> list[Table]:
        """Further tables of `spikeseq energy` about finished runs, by name."""
        return []
