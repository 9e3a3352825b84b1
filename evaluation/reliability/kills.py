"""Trainings that are killed at every operation on their files, and go on: they end as undisturbed ones do."""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

IMAGES = ["data.limit=120", "model.width=0.125", "model.hidden=16", "train.batch_size=16", "model.substeps=2"]
TINY: dict[str, tuple[str, str | None, str | None, list[str]]] = {
    "imdb": ("imdb", "snn", None, [
        "data.limit=120", "data.tokenizer=whitespace", "train.warmup=2", "train.average=0.5",
        "train.batch_size=16", "train.epochs=2", "evaluate.energy_texts=5", "model.hidden_size=12",
        "model.embedding_size=8",
    ]),
    "lm": ("lm", "snn", None, [
        "data.limit=60", "train.epochs=2", "train.batch_size=4", "train.chunk=32", "train.warmup=2",
        "train.average=0.5", "evaluate.energy_tokens=40", "model.embedding_size=16", "model.layers=1",
        "model.neurons=24",
    ]),
    "multi30k": ("multi30k", "conv-snn-snn", None, [
        "data.limit=40", "data.pieces=330", "train.epochs=2", "train.batch_tokens=300", "train.warmup=2",
        "evaluate.energy_texts=3", "evaluate.beam=2", "model.channels=16", "model.layers=2",
    ]),
    "mnist": ("mnist", None, "direct", [*IMAGES, "train.epochs=2", "evaluate.energy_images=4"]),
    "mnist-stdp": ("mnist-stdp", None, None, [
        "data.limit=300", "model.neurons=30", "train.part=150", "train.epochs=2", "evaluate.quick=20",
    ]),
    "cifar10-stdp": ("cifar10-stdp", None, None, [
        "data.limit=100", "model.neurons=6", "model.stride=6", "model.pool=2", "evaluate.quick=20",
        "train.images=30", "train.patches=400", "train.part=200",
    ]),
    "digits-multimodal": ("digits-multimodal", None, None, [
        "data.limit=120", "model.neurons=40", "model.frames=8", "model.cross_after=100", "train.part=50",
        "train.epochs=2", "train.pairs=100", "evaluate.quick=20",
    ]),
}  # fmt: skip
"""Recipe, model, method and settings of a training of about a second on generated data."""


class Killed(NamedTuple):
    """A training that was killed before operation `at`, or `at` seconds after its start, and how it ended."""

    recipe: str
    at: float
    fault: str


def train_tiny(name: str, folder: Path, resume: bool = False) -> None:
    from spikeseq.recipes.config import load_config
    from spikeseq.recipes.train import train

    recipe, model, method, settings = TINY[name]
    config = load_config(recipe, model=model, method=method, overrides=settings)
    train(config, folder, resume=resume, device="cpu")


def counted(folder: Path, does: Callable[[int, str], None]) -> None:
    """Calls `does(number, name)` before each of this process's operations on files of a folder: opening to
    write, each write, sync, rename and removal."""
    number = iter(range(10**9))

    def inside(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and folder in (Path(path), *Path(path).parents)

    def wrapped(module: Any, name: str, about: Callable[..., bool]) -> None:
        own = getattr(module, name)

        def call(*given: Any, **named: Any) -> Any:
            if about(*given, **named):
                does(next(number), name)
            return own(*given, **named)

        setattr(module, name, call)

    for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir"):
        wrapped(os, name, lambda path, *given, **named: inside(path))
    wrapped(os, "fsync", lambda handle: inside(os.readlink(f"/proc/self/fd/{handle}")))
    opened = Path.open

    def opens(self: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
        file = opened(self, mode, *given, **named)
        if not inside(self) or mode == "r" or mode == "rb":
            return file
        write = file.write

        class Half:
            """Writes the first half of what it is given, then asks, then writes the rest."""

            def write(self, content: Any) -> int:
                middle = len(content) // 2
                write(content[:middle])
                file.flush()
                does(next(number), "write")
                write(content[middle:])
                return len(content)

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def __enter__(self) -> "Half":
                return self

            def __exit__(self, *given: object) -> None:
                file.close()

        does(next(number), "open")
        return Half()

    Path.open = opens  # type: ignore[method-assign, assignment]


def in_child(work: Callable[[], None]) -> int:
    """Does it in a child of this process, which must not have trained: the signal that ended it, 0 where it
    came to its end, 1 where it raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def result(folder: Path) -> list[Any]:
    """What must be equal however a run came to its end: all but times."""
    metrics = json.loads((folder / "metrics.json").read_text())
    test = {key: value for key, value in metrics.pop("test").items() if not key.endswith("per_second")}
    del metrics["seconds"]
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    timed = ("seconds", "per_second", "shown")
    log = [{k: v for k, v in record.items() if not k.endswith(timed)} for record in records]
    return [metrics, test, log, (folder / "model.safetensors").read_bytes()]


def left(folder: Path) -> list[str]:
    """What a finished run does not have."""
    names = (path.name for path in folder.iterdir())
    return sorted(name for name in names if name.startswith((".", "resume")))


def operations(name: str, folder: Path) -> list[str]:
    """What an undisturbed training does to files, which it leaves in `folder`."""
    list_of = folder.with_name("operations")

    def work() -> None:
        noted: list[str] = []
        counted(folder, lambda number, what: noted.append(what))
        train_tiny(name, folder)
        list_of.write_text("\n".join(noted))

    if in_child(work):
        raise RuntimeError(f"the training of {name} did not come to its end")
    return list_of.read_text().split("\n")


def kill(name: str, place: Path, at: float, wanted: list[Any], *, seconds: bool = False) -> Killed:
    """Kills a training, lets it go on, and compares."""
    folder = place / "killed"
    shutil.rmtree(folder, ignore_errors=True)

    def work() -> None:
        if seconds:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, at)
        else:
            counted(
                folder, lambda number, what: os.kill(os.getpid(), signal.SIGKILL) if number == at else None
            )
        train_tiny(name, folder)

    in_child(work)
    status = in_child(lambda: train_tiny(name, folder, resume=True))
    if status:
        return Killed(name, at, f"did not go on: status {status}")
    if result(folder) != wanted:
        return Killed(name, at, "ended otherwise")
    return Killed(name, at, f"left {', '.join(left(folder))}" if left(folder) else "")


def warm() -> None:
    """Imports what trainings do, which children then need not."""
    import accelerate  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    import spikeseq.recipes.config
    import spikeseq.recipes.train  # noqa: F401


def kills(
    names: Sequence[str], count: int, place: Path, *, seed: int = 0, say: Callable[[str], None] = print
) -> list[Killed]:
    """`count` kills in all: of each recipe at every operation in turn, and every fourth at a random moment.

    place: a folder for the runs.
    """
    found: list[Killed] = []
    warm()
    for name in names:
        whole = place / name
        done = operations(name, whole)
        wanted, own = result(whole), []
        rng, each = random.Random(f"{seed} {name}"), -(-count // len(names))
        for turn in range(each):
            if turn % 4 == 3:
                own.append(kill(name, place, rng.uniform(0.05, 2.0), wanted, seconds=True))
            else:
                own.append(kill(name, place, (turn - turn // 4 + seed) % len(done), wanted))
        wrong = sum(bool(one.fault) for one in own)
        say(f"{name}: {len(own)} kills, {len(done)} operations, {wrong} wrong")
        found += own
    return found


def table(found: Sequence[Killed]) -> str:
    """For the page."""
    lines = ["| recipe | kills | ended otherwise, or not at all |", "|---|--:|--:|"]
    for name in dict.fromkeys(one.recipe for one in found):
        own = [one for one in found if one.recipe == name]
        lines.append(f"| `{name}` | {len(own):,} | {sum(bool(one.fault) for one in own)} |")
    return "\n".join(lines)
