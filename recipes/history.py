"""Where a training stands: its epochs so far, of which `log.jsonl` has a record each."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikeseq.files import write_whole
from spikeseq.recipes.resume import check_alike
from spikeseq.recipes.settings import TrainSettings

LOG_FILE = "log.jsonl"


@dataclass
class State:
    """Where a training stands, beside model, optimiser and random numbers.

    processes: that train together; one update takes a batch from each.
    """

    processes: int = 1
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)

    def finished(self, settings: TrainSettings) -> bool:
        """All epochs done, or no better score for too long."""
        return self.epoch >= settings.epochs or self.epoch - 1 - self.best_epoch >= settings.patience > 0


def write_log(folder: Path, history: Iterable[dict[str, Any]]) -> None:
    """One JSON object per epoch."""
    write_whole(folder / LOG_FILE, "".join(json.dumps(record) + "\n" for record in history))


def check_record(record: Any) -> None:
    """Raises ValueError, KeyError or TypeError for what is no entry of a log."""
    for key in ("epoch", "loss"):
        _check_number(key, record[key])
    if type(record["epoch"]) is not int:
        raise ValueError(f"epoch is {record['epoch']!r:.40}; expected an integer")
    for key, value in record["validation"].items():
        _check_number(f"validation.{key}", value)
    record["validation"]["score"]
    _check_number("seconds", record.get("seconds", 0))
    for key in ("what", "loss_is"):
        if not isinstance(record.get(key, ""), str):
            raise ValueError(f"{key} is {record[key]!r:.40}; expected text")


def _check_number(name: str, value: Any) -> None:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r:.40}; expected a number")


def checked_state(kept: Any) -> State:
    """The state that `vars` made a dict of. Raises ValueError for another one."""
    check_alike({**kept, "history": []}, vars(State(best=0.0)), "state", optional="*")
    state = State(**kept)
    for record in state.history:
        check_record(record)
    if not 0 <= state.best_epoch < state.epoch == len(state.history):
        raise ValueError(f"epoch {state.epoch}, the best {state.best_epoch}, {len(state.history)} in the log")
    return state
