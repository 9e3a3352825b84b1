"""The one training loop: any recipe's task in, a trained model and its history out."""

import contextlib
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from spikeseq.monitor import Monitor, monitor
from spikeseq.nn import project_parameters
from spikeseq.recipes.history import State, checked_state, write_log
from spikeseq.recipes.resume import can_resume, check_adam, check_alike, check_module, go_on, keep, settle
from spikeseq.recipes.settings import TrainSettings
from spikeseq.recipes.shared.ahead import prepared
from spikeseq.recipes.shared.optimiser import parameter_groups, rate_at

if TYPE_CHECKING:
    from accelerate import Accelerator


class Task(ABC):
    """What the engine needs to know of a recipe: a model on a corpus.

    corpus: as `recipe.Corpus`. model: that is trained or tested.
    """

    model: Any
    corpus: Any

    @abstractmethod
    def batches(self, epoch: int) -> list[Any]:
        """The training batches of an epoch, the same in every process; cheap descriptions of them."""

    @abstractmethod
    def collate(self, batch: Any, rng: torch.Generator) -> tuple[Tensor, ...]:
        """A batch as tensors of a CPU, in a thread of its own; `rng` is the only source of what is random."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The training loss of one collated batch, on the model's device."""

    @abstractmethod
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Scores on the validation split; `score` is the one that selects."""

    def dealt(self, batches: list[Any], processes: int, rank: int) -> list[Any]:
        """The batches of an epoch that one of several processes takes, as many as each of the others."""
        return dealt(batches, processes, rank)

    def tokens(self, batch: Any) -> int | None:
        """The tokens of one of `batches` without padding, for the log; None where none are counted."""
        return None

    def spike_costs(self) -> dict[str, float] | None:
        """What the spike penalty weighs layers by, as `monitor(costs=)`; None: all neurons weigh the same."""
        return None


@dataclass
class Progress:
    """Callbacks for people: none of them changes the training.

    start_epoch: number, batches, and what an epoch is called. step: the loss, and what it is called. say: a
    line.
    """

    start_epoch: Callable[[int, int, str], None] = lambda epoch, batches, what: None
    step: Callable[[float, str], None] = lambda loss, what: None
    end_epoch: Callable[[dict[str, Any]], None] = lambda record: None
    say: Callable[[str], None] = lambda text: None


def dealt(batches: list[Any], processes: int, rank: int) -> list[Any]:
    """The batches of one of several processes: `rank`, `rank + processes` and so on, equally many for each.

    They are wrapped around and not cut: every text is seen in every epoch and a few batches are enough for
    many processes, at the price of at most `processes - 1` batches that are seen twice.
    """
    steps = math.ceil(len(batches) / processes)
    return [batches[(rank + step * processes) % len(batches)] for step in range(steps)]


def fit(
    task: Task,
    settings: TrainSettings,
    folder: Path,
    *,
    resume: bool = False,
    accelerator: "Accelerator | None" = None,
    progress: Progress | None = None,
    seed: int = 1,
) -> tuple[nn.Module, State]:
    """Trains `task.model` and returns its averaged weights of the best epoch, and the history.

    After every epoch the folder holds all that is needed to go on (`resume.pt`) and the history
    (`log.jsonl`); a run that was killed and resumed ends with the same weights as one that was not.

    Under `torchrun` every process calls this with the same arguments and a folder that all can read. Each
    takes its share of the batches (`dealt`) and draws its own dropout; an update takes the mean of their
    gradients, so all hold the same weights. The first process alone validates, writes and reports; it hands
    its scores to the others, so all stop at the same epoch. Where an error ends one process, `torchrun` ends
    the others.

    Raises:
        FloatingPointError: the loss is no longer finite.
        ValueError: `resume.pt` is damaged, of another model, or of another number of processes.
    """
    from accelerate import Accelerator  # late: a run that only answers does without
    from accelerate.utils import broadcast, broadcast_object_list

    accelerator = accelerator or Accelerator()
    processes, rank = accelerator.num_processes, accelerator.process_index
    progress = progress if progress and accelerator.is_main_process else Progress()
    torch.manual_seed(seed)
    model = task.model.to(accelerator.device)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings), lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True
    )
    steps = settings.epochs * len(task.dealt(task.batches(0), processes, rank))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_at(step, steps, settings.warmup, settings.schedule)
    )

    def blend(averaged: Any, current: Any, count: Any) -> None:
        # The decay grows to its value, so that short runs do not keep their first weights.
        step = schedule.last_epoch
        get_ema_multi_avg_fn(min(settings.average, (1 + step) / (10 + step)))(averaged, current, count)

    average = AveragedModel(model, multi_avg_fn=blend, use_buffers=True)
    best = {name: value.detach().clone() for name, value in model.state_dict().items()}
    wrapped, optimizer = accelerator.prepare(model, optimizer)  # all start from the first one's weights
    watch = watch_spikes(task, model, settings.spike_penalty)  # not in the averaged model
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "average": average}
    state = State(processes)
    if resume and can_resume(folder):
        state, used = read_state(folder, parts, best, progress)
        if state.processes != processes:
            count = f"was written by {state.processes} processes, now there are {processes}"
            raise ValueError(f"{used} {count}; resuming needs as many")
        accelerator.wait_for_everyone()  # that all have read
        if accelerator.is_main_process:
            settle(used)
            write_log(folder, state.history)  # a kill may have come between the two files

    with watch or contextlib.nullcontext():
        while not state.finished(settings):
            started = time.perf_counter()
            whole = task.batches(state.epoch)
            batches = task.dealt(whole, processes, rank)
            progress.start_epoch(state.epoch, len(batches), "epoch")
            if processes > 1:  # each has random numbers of its own, which a resumed run finds again
                torch.manual_seed(random.Random(f"{seed} {state.epoch} {rank}").getrandbits(63))
            total = torch.zeros((), device=accelerator.device)
            wrapped.train()
            drawn = f"{seed} {state.epoch} {rank}"
            for batch in prepared(task.collate, batches, drawn, accelerator.device):
                with accelerator.autocast():
                    loss = task.loss(wrapped, batch)
                    if watch:
                        loss = loss + settings.spike_penalty * watch.penalty()
                # A GPU's loss is read once an epoch only, because reading it waits for the device.
                value = float(loss.detach()) if accelerator.device.type == "cpu" else None
                _check_loss(value, state.epoch)
                optimizer.zero_grad()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(wrapped.parameters(), settings.clip)
                optimizer.step()
                schedule.step()
                project_parameters(model)
                average.update_parameters(model)
                total += loss.detach()
                progress.step(math.nan if value is None else value, "loss")
            mean = float(accelerator.reduce(total, "mean")) / len(batches)
            _check_loss(mean, state.epoch)
            trained = time.perf_counter() - started
            scores = task.validate(average.module, accelerator.device) if accelerator.is_main_process else {}
            (scores,) = broadcast_object_list([scores])
            record = {
                "epoch": state.epoch + 1,
                "loss": mean,
                "validation": scores,
                "seconds": round(trained, 2),
                "validation_seconds": round(time.perf_counter() - started - trained, 2),
            }
            tokens = [n for batch in whole if (n := task.tokens(batch)) is not None]
            if tokens:
                record["tokens_per_second"] = round(sum(tokens) / trained)
            if watch:
                rates = watch.rates()
                record["spike_rate"] = round(sum(rates.values()) / len(rates), 4)
                watch.reset()
            state.history.append(record)
            if scores["score"] > state.best:
                state.best, state.best_epoch = scores["score"], state.epoch
                best = {name: value.detach().clone() for name, value in average.module.state_dict().items()}
            state.epoch += 1
            if accelerator.is_main_process:
                write_state(folder, parts, best, state)
            progress.end_epoch(record)
    # Buffers, such as the statistics of a batch normalisation, are each process's own until here.
    model.load_state_dict(broadcast(best))
    return model.eval(), state


def watch_spikes(task: Task, model: nn.Module, penalty: float) -> Monitor | None:
    """What the spike penalty is computed by; None without one.

    Args:
        model: that of the task, on its device.

    Raises:
        ValueError: the model has no spiking layer.
    """
    if not penalty:
        return None
    try:
        return monitor(model, penalty=True, costs=task.spike_costs())
    except ValueError:
        raise ValueError(f"train.spike_penalty must be 0 for a model without spikes, got {penalty}") from None


def _check_loss(loss: float | None, epoch: int) -> None:
    if loss is not None and not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss is {loss} in epoch {epoch + 1}; try a smaller train.learning_rate"
        )


def write_state(folder: Path, parts: dict[str, Any], best: dict[str, Tensor], state: State) -> None:
    """What a training goes on from, and the log."""
    tensors = {name: part.state_dict() for name, part in parts.items()}
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    keep(folder, {**tensors, "best": best, "random": random, "state": vars(state)})
    write_log(folder, state.history)


def read_state(
    folder: Path, parts: dict[str, Any], best: dict[str, Tensor], progress: Progress
) -> tuple[State, Path]:
    """Puts it into `parts` and `best`; the state, and the file that it is from."""
    states = []

    def restore(saved: dict[str, Any]) -> None:
        states.append(checked_state(saved["state"]))
        check_module(saved["model"], parts["model"], "model")
        check_adam(saved["optimizer"], parts["optimizer"], "optimizer")
        check_alike(saved["schedule"], parts["schedule"].state_dict(), "schedule", optional="*")
        check_module(saved["average"], parts["average"], "average")
        check_alike(saved["best"], best, "best")
        check_alike(saved["random"]["cpu"], torch.get_rng_state(), "random.cpu")
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        best.update({name: value.to(best[name].device) for name, value in saved["best"].items()})
        torch.set_rng_state(saved["random"]["cpu"])
        if torch.cuda.is_available() and "cuda" in saved["random"]:
            check_alike(saved["random"]["cuda"], torch.cuda.get_rng_state(), "random.cuda")
            torch.cuda.set_rng_state(saved["random"]["cuda"])

    used = go_on(folder, restore, progress.say)
    return states[0], used
