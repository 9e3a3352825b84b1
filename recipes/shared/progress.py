"""Progress bars with the time that is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from spikeseq.recipes.engine import Progress


@contextmanager
def bars(console: Console) -> Iterator[Progress]:
    """A bar per epoch with loss and time left, and a line with the scores at its end."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"),
    )  # fmt: skip
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        current: dict[str, Any] = {"smooth": None, "steps": 0}

        def start_epoch(epoch: int, batches: int, what: str = "epoch") -> None:
            if "task" in current:
                display.remove_task(current["task"])
            current["task"] = display.add_task(f"{what} {epoch + 1}", total=batches, loss="")

        def step(loss: float, what: str = "loss") -> None:
            if loss == loss:  # not read back from a GPU
                smooth = current["smooth"]
                current["smooth"] = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            text = "" if current["smooth"] is None else f"{what} {current['smooth']:.3f}"
            display.update(current["task"], advance=1, loss=text)

        def end_epoch(record: dict[str, Any]) -> None:
            figures = record["validation"]
            named = {k: v for k, v in figures.items() if k != "score"} or figures
            scores = ", ".join(f"{k} {v:.2f}" for k, v in named.items())
            trained = record.get("shown", f"loss {record['loss']:.4f}")
            text = f"{record.get('what', 'epoch')} {record['epoch']}: {trained}, validation {scores}"
            display.console.print(f"{text}, {record['seconds']:.0f} s", highlight=False)

        yield Progress(start_epoch, step, end_epoch)


@contextmanager
def steps_bar(what: str) -> Iterator[Callable[[int, int, str, float], None]]:
    """A bar for slow steps, on standard error: called with done, total, a name and a value."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task(what, total=None)

        def step(done: int, total: int, name: str, value: float) -> None:
            display.update(task, completed=done, total=total, description=f"{what}: {name} {value:.3g}")

        yield step
