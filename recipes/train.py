"""`spikeseq train`: from a configuration to a finished run folder."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq.files import check_guards, check_place, clear_leftovers, remove, write_whole
from spikeseq.models.ngrams import NGramEmbedding
from spikeseq.recipes import runs
from spikeseq.recipes.config import check_config, to_yaml
from spikeseq.recipes.engine import Progress, Task, watch_spikes
from spikeseq.recipes.history import LOG_FILE, State
from spikeseq.recipes.lock import LOCK_FILE, held
from spikeseq.recipes.manifest import FORMAT, MANIFEST_FILE, MARK, check_kind, write_manifest
from spikeseq.recipes.plain import flat, section
from spikeseq.recipes.recipe import Corpus, Recipe, Say
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.resume import can_resume, forget
from spikeseq.recipes.settings import TrainSettings
from spikeseq.recipes.shared.buffers import keep_buffers
from spikeseq.recipes.shared.optimiser import embedding_tables
from spikeseq.recipes.weights import MODEL_FILE, save_model

PLACES = {"model.start", "distillation.teachers"}
"""Settings that say where something lies, which may be moved, and not what a run is."""


def train(
    config: Any,
    folder: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    say: Say = lambda text: None,
    progress: Progress | None = None,
    finish: Callable[[dict[str, Any]], None] = lambda metrics: None,
) -> dict[str, Any]:
    """Trains, tests once on `evaluate.split`, and leaves a run folder; returns its metrics.

    Under `torchrun` every process calls this and returns when the folder is complete; the first one writes
    and reports, and the others return an empty dict.

    Args:
        finish: takes the metrics, and may write into the folder, while other trainings are still kept out.

    Raises:
        ValueError: naming a setting that is wrong.
        runs.RunError: the folder exists and `resume` is not set, it is of another configuration, or another
            training writes to it; the folder was moved, removed or replaced meanwhile.
    """
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    keep_buffers()
    check_config(config)
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    # The others wait that long while the first process reads the data or tests.
    patient = InitProcessGroupKwargs(timeout=timedelta(hours=2))
    accelerator = Accelerator(cpu=on_cpu, mixed_precision=mixed_precision(device), kwargs_handlers=[patient])
    training = _Training(config, folder, resume, accelerator, say, progress or Progress())
    with contextlib.ExitStack() as stack:
        # Of the processes of one run the first alone holds the lock; of a new folder once it is there.
        kept = folder.is_dir()
        if accelerator.is_main_process and kept:
            stack.enter_context(held(folder, say))
        metrics = training.run(None if kept else stack)
        if metrics:
            finish(metrics)
        return metrics


@dataclass(frozen=True)
class _Training:
    """One call of `train`: its arguments, and the steps that they go through."""

    config: Any
    folder: Path
    resume: bool
    accelerator: Any
    say: Say
    progress: Progress

    def run(self, lock: contextlib.ExitStack | None) -> dict[str, Any]:
        """The metrics; `lock` takes the lock of a folder that is still to be made."""
        config, folder, first = self.config, self.folder, self.accelerator.is_main_process
        if _finished(folder, config, self.resume):
            metrics = runs.read_metrics(folder)
            assert metrics is not None
            if not first:
                return {}
            clear_leftovers(folder)
            forget(folder)  # a kill may have come before that
            self.say(f"{folder} is finished")
            return metrics
        recipe = RECIPES[config.recipe]
        # A run that goes on has its weights in the folder: what it started from need not be there any more.
        goes_on = self.resume and can_resume(folder)
        if not goes_on:
            recipe.check_start(config)
        with self.accelerator.main_process_first():  # so that the others find the corpus in the cache
            corpus = recipe.load(config, self.say if first else lambda text: None)
        task = recipe.task(config, corpus, recipe.blank(config, corpus) if goes_on else None)
        # A model without spikes is told so here.
        if watch := watch_spikes(task, task.model, config.train.spike_penalty):
            watch.close()
        if not first:
            if recipe.trains(config):
                self.fit(recipe, task, Progress())
            self.accelerator.wait_for_everyone()
            return {}
        # Only now: a mistyped path or setting leaves no folder in the way of the next try.
        if lock is not None:
            check_guards(folder)  # of the folder of all folds
            folder.mkdir(parents=True, exist_ok=True)
            lock.enter_context(held(folder, self.say))
            if _inhabited(folder):
                why = "another training made it meanwhile; choose another --out"
                raise runs.RunError(f"{folder} is in use: {why}")
        clear_leftovers(folder)
        remove(folder / MANIFEST_FILE)  # of an end that a kill came into
        if not goes_on:
            write_whole(folder / runs.CONFIG_FILE, to_yaml(config))
        for name, content in corpus.files().items():
            if goes_on:
                _check_kept(folder / name, content, config.data.source)
            write_whole(folder / name, content)
        with written(replace(self.progress, say=self.say), folder) as progress:
            if recipe.trains(config):
                model, state = self.fit(recipe, task, progress)
            else:
                model, state = untrained(task, self.accelerator.device)
        save_model(folder, model, config)
        self.say("testing")
        metrics, files = self.measured(recipe, corpus, task, model, state)
        for name, content in files.items():
            write_whole(folder / name, content)
        told = json.dumps(metrics, indent=2) + "\n"
        names = [runs.CONFIG_FILE, *corpus.files(), LOG_FILE, MODEL_FILE, *files]
        write_manifest(folder, names, {runs.METRICS_FILE: told})
        write_whole(folder / runs.METRICS_FILE, told)  # the last file: with it the run is finished
        forget(folder)
        self.accelerator.wait_for_everyone()
        return metrics

    def fit(self, recipe: Recipe, task: Task, progress: Progress) -> tuple[nn.Module, State]:
        """The recipe's loop."""
        settings = section(self.config, "train")
        assert isinstance(settings, TrainSettings)
        return recipe.fit(
            task,
            self.folder,
            settings=settings,
            resume=self.resume,
            accelerator=self.accelerator,
            progress=progress,
            seed=self.config.seed,
        )

    def measured(
        self, recipe: Recipe, corpus: Corpus, task: Task, model: nn.Module, state: State
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Tests once, counts the energy, and says what was trained on what; files that the test gives."""
        config, accelerator = self.config, self.accelerator
        split = config.evaluate.split
        started = time.perf_counter()
        test = recipe.test(config, task, model, split, accelerator.device)
        tested = time.perf_counter() - started
        files = test.pop("files", {})
        energy = recipe.energy(config, task, model.cpu(), split)
        facts = corpus.facts()
        validation = state.history[state.best_epoch]["validation"]
        metrics = {
            "recipe": config.recipe,
            "model": config.model.name,
            "data": corpus.name,
            "seed": config.seed,
            **({"method": config.model.method} if "method" in config.model else {}),
            "epochs": state.epoch,
            "best_epoch": state.best_epoch + 1 if recipe.trains(config) else 0,
            "parameters": sum(p.numel() for p in model.parameters()),
            "parameters_without_embeddings": parameters_without_embeddings(model),
            "validation": {name: round(value, 3) for name, value in validation.items()},
            "split": split,
            "test": test,
            "spike_rate": energy["spike_rate"],
            "energy": energy,
            **facts,
            "used": recipe.used(config, facts),
            "seconds": {
                "train": round(sum(record["seconds"] for record in state.history), 1),
                "test": round(tested, 1),
            },
            "hardware": hardware(accelerator.device, accelerator.num_processes),
            MARK: FORMAT,
        }
        return metrics, files


@contextlib.contextmanager
def written(progress: Progress, folder: Path) -> Iterator[Progress]:
    """`progress`, with every epoch written for TensorBoard as well."""
    from torch.utils.tensorboard import SummaryWriter

    check_guards(folder)
    writer = SummaryWriter(str(folder / "tensorboard"))

    def end_epoch(record: dict[str, Any]) -> None:
        check_guards(folder)  # the writer opens its file by name every time
        writer.add_scalar("loss/train", record["loss"], record["epoch"])
        for name, value in record["validation"].items():
            writer.add_scalar(f"validation/{name}", value, record["epoch"])
        writer.flush()
        progress.end_epoch(record)

    try:
        yield replace(progress, end_epoch=end_epoch)
    finally:
        writer.close()


def untrained(task: Task, device: torch.device) -> tuple[nn.Module, State]:
    """The task's model as it is, and its validation in the place of a history."""
    model = task.model.to(device).eval()
    record = {"validation": task.validate(model, device), "seconds": 0.0}
    return model, State(best_epoch=0, history=[record])


def _finished(folder: Path, config: Any, resume: bool) -> bool:
    """Whether the folder holds this run, finished; an error if something else is in the way."""
    if not folder.exists():
        check_place(folder, parents=True)
    if folder.exists() and (not folder.is_dir() or _inhabited(folder)):
        if not resume:
            raise runs.RunError(f"{folder} exists; go on with --resume, or choose another --out")
        if not folder.is_dir():
            raise runs.RunError(f"{folder} is a file; --out takes a folder")
        if (folder / runs.CONFIG_FILE).exists():
            old = runs.read_config(folder)
            before, now = flat(old), flat(config)
            for key in dict.fromkeys(("recipe", "model.name", *sorted((before | now).keys() - PLACES))):
                if before.get(key) != now.get(key):
                    values = f"{key}={before.get(key)}, now it is {now.get(key)}"
                    raise runs.RunError(f"{folder} was started with {values}; --resume needs the same")
            # What is not trained leaves nothing to go on from: a kill may have come just before its metrics.
            kept = (folder / runs.METRICS_FILE).exists() or RECIPES[config.recipe].trains(config)
            return kept and runs.read_metrics(folder) is not None
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise runs.RunError(f"{folder} is not a run folder: it has no {runs.CONFIG_FILE}")
    return False


def _check_kept(path: Path, content: str | bytes, source: str) -> None:
    """Raises RunError where a run that goes on began with other data than there is now."""
    now = content.encode() if isinstance(content, str) else content
    check_kind(path)
    if path.exists() and path.read_bytes() != now:
        why = f"{source} has changed since; give the data back, or begin a run in another --out"
        raise runs.RunError(f"{path} is of other data than the run would go on with: {why}")


def _inhabited(folder: Path) -> bool:
    """Whether a folder holds more than the lock of a training, that of now or one that was killed."""
    return any(path.name != LOCK_FILE for path in folder.iterdir())


def mixed_precision(device: str) -> str:
    """bfloat16 where a GPU computes in it, else none."""
    on_gpu = device != "cpu" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16" if on_gpu else "no"


def parameters_without_embeddings(model: nn.Module) -> int:
    """Trained values outside embedding tables; the table of a bag of words is its classifier, and counts."""
    tables = {id(p) for p in embedding_tables(model, nn.Embedding, NGramEmbedding)}
    return sum(p.numel() for p in model.parameters() if id(p) not in tables)


def hardware(device: torch.device, processes: int = 1) -> str:
    """A line that says what a time was measured on."""
    if processes > 1:
        return f"{processes} processes, each on {hardware(device)}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            name = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), name)
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
