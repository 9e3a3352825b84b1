"""Work in children of this process, which are ended before an operation on files, or after some time."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

NEVER = float("inf")


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
    wrapped(os, "open", lambda path, flags, *given, **named: inside(path) and bool(flags & os.O_CREAT))
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


def start(work: Callable[[], None], environment: dict[str, str] | None = None) -> int:
    """The number of a child that does it, silently: its status is 0 where it comes to the end, 1 where it
    raises. This process must not have trained: children of one that has cannot."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        os.environ.update(environment or {})
        work()
        status = 0
    finally:
        os._exit(status)


def in_children(
    works: Sequence[Callable[[list[int]], None]],
    kill_after: float = NEVER,
    victims: Sequence[int] = (0,),
    most: float = 300.0,
) -> list[int]:
    """Does each in a child of its own, the last one first; they are given the numbers of those that run.

    Two or more are processes of one training, as torchrun starts them, and as there the others are ended
    once one has ended otherwise than well.

    kill_after: seconds until SIGKILL for the `victims`. most: seconds, after which all are ended.

    Returns:
        Of each the signal that ended it, negative, or its status.
    """
    environments: list[dict[str, str]] = [{}]
    if len(works) > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        common |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(len(works)))
        environments = [common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(len(works))]
    children: list[int] = []
    for work, environment in zip(reversed(works), reversed(environments), strict=True):
        others = [*children]
        children.insert(0, start(lambda work=work, others=others: work(others), environment))  # type: ignore[misc]
    started, told, statuses = time.monotonic(), NEVER, dict[int, int]()
    while len(statuses) < len(children):
        for child in children:
            if child not in statuses and (found := os.waitpid(child, os.WNOHANG)) != (0, 0):
                statuses[child] = os.waitstatus_to_exitcode(found[1])
        now = time.monotonic() - started
        running = [child for child in children if child not in statuses]
        if now >= kill_after:
            end([children[rank] for rank in victims if children[rank] in running], signal.SIGKILL)
            kill_after = NEVER
        if any(statuses.values()) and told == NEVER:
            told = now + 0.1  # torchrun looks as often
        if now >= told:
            end(running, signal.SIGTERM if now < told + 5 else signal.SIGKILL)
        if now >= most:
            end(running, signal.SIGKILL)
        time.sleep(0.002)
    return [statuses[child] for child in children]


def end(children: Sequence[int], by: signal.Signals) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, by)


def in_child(work: Callable[[], None]) -> int:
    """Does it in one child."""
    return in_children([lambda others: work()])[0]
