"""The commands that answer the lines of standard input, under load, as processes of their own."""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spikeseq.evaluation.reliability.tiny import train_tiny

ODD = [b"a film \x00 with nul", b"ends in CR LF\r", b"", b"two\x0cpages", "\u2028 and no end".encode()]
"""Lines, the last of which is not ended: NUL, CR LF, nothing, a form feed, a separator of Unicode."""
WORDS = ["the", "film", "was", "superb", "and", "moving", "but", "flat", "two", "dogs", "run", "while", "men"]
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "classify": ("imdb", []),
    "translate": ("multi30k", ["--beam", "1"]),
    "generate --prompt -": ("lm", ["--tokens", "5"]),
    "generate --score": ("lm", []),
}
"""The recipe whose run is asked, and what else is given."""
TOGETHER = {"translate": ["--batch", "64"]}
"""What is given besides where lines are many."""


MEASURE = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    file.write(f"{status} {used.ru_utime + used.ru_stime} {used.ru_maxrss}")
"""


class Load(NamedTuple):
    """What became of an input: lines that went in and came out, status, what was said, seconds of the
    processor, most bytes of memory."""

    name: str
    given: int
    answered: int
    status: int
    told: str
    seconds: float
    memory: int


def arguments(command: str, run: Path) -> list[str]:
    name, *options = command.split()
    return [sys.executable, "-m", "spikeseq", name, str(run), *options, *COMMANDS[command][1]]


def under_load(name: str, command: Sequence[str], lines: Iterable[bytes], ended: bool = True) -> Load:
    """Runs a command on lines, the last of which is ended by a line break or not.

    A small process starts it and asks the system for its processor time and the most memory that it held, in
    which what the process that starts another has counts, too.
    """
    given = 0
    with contextlib.ExitStack() as files:
        into, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        noted = files.enter_context(tempfile.NamedTemporaryFile("r"))
        for line in lines:
            into.write(b"\n" * bool(given) + line)
            given += 1
        into.write(b"\n" * ended)
        into.seek(0)
        measured = [sys.executable, "-S", "-c", MEASURE, noted.name, *command]
        subprocess.run(measured, stdin=into, stdout=out, stderr=err, check=True)
        status, seconds, kilobytes = noted.read().split()
        out.seek(0), err.seek(0)
        answered = sum(part.count(b"\n") for part in iter(lambda: out.read(1 << 20), b""))
        told = err.read().decode("utf-8", "replace").strip()
    return Load(name, given, answered, int(status), told, float(seconds), int(kilobytes) * 1024)


def streamed(command: Sequence[str], lines: Sequence[bytes], pause: float = 0.0) -> tuple[int, int, str]:
    """Gives lines one by one, each once that before it is answered, then ends reading and gives more.

    Returns:
        How many were answered before the next came, the status, and what was said.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, bufsize=0, **pipes) as process:  # type: ignore[call-overload]
        answered = 0
        for line in lines:
            process.stdin.write(line + b"\n")
            answered += process.stdout.readline().endswith(b"\n")
            time.sleep(pause)
        process.stdout.close()
        try:
            process.stdin.write(b"more\n" * 20)
            process.stdin.close()
        except BrokenPipeError:  # it has ended already
            process.stdin = None
        told = process.stderr.read().decode("utf-8", "replace")
        return answered, process.wait(), told


def sentences(count: int) -> Iterator[bytes]:
    """Lines of 1 to 15 words."""
    for i in range(count):
        yield " ".join(WORDS[(i * 7 + k * k) % len(WORDS)] for k in range(1 + i % 15)).encode()


def loads(place: Path, count: int, size: int) -> Iterator[Load]:
    """Every command with many lines, with odd ones, with one that is long, a slow writer and a reader that
    goes. count: of the many. size: bytes of the long one; what scores every byte gets a fiftieth."""
    for recipe in dict.fromkeys(recipe for recipe, _ in COMMANDS.values()):
        train_tiny(recipe, place / recipe)
    for name, (recipe, _) in COMMANDS.items():
        command = arguments(name, place / recipe)
        shown = " ".join([name, *TOGETHER.get(name, [])])
        many = [*command, *TOGETHER.get(name, [])]
        yield under_load(f"`{shown}`: {count:,} lines of 1 to 15 words", many, sentences(count))
        told = "NUL, CR LF, an empty line, a form feed, no end of the last line"
        yield under_load(f"`{name}`: {told}", command, ODD, ended=False)
        length = size if recipe != "lm" else size // 50
        words = [b"superb " * (length // 7)]
        yield under_load(f"`{name}`: one line of {length / 1e6:,.0f} MB", command, words)
        answered, status, told = streamed(command, [b"one", b"two", b"three"], pause=1.0)
        yield Load(
            f"`{name}`: three lines, a second apart, and then no reader", 3, answered, status, told, 0.0, 0
        )


REFUSED = re.compile(r"at most|too long")


def wrong(one: Load) -> str | None:
    """What is not as it must be: a line for a line, or the last one refused in a line because it is long."""
    refused = one.status == 2 and REFUSED.search(one.told) and "\n" not in one.told
    if refused and one.answered == one.given - 1:
        return None
    if one.status or one.told or one.answered != one.given:
        return f"{one.name}: {one.answered} of {one.given} lines, status {one.status}, {one.told[-300:]}"
    return None


def table(found: Iterable[Load]) -> str:
    """For the page."""
    lines = ["| input | lines | answers | processor | memory |", "|---|--:|--:|--:|--:|"]
    for one in found:
        answers = f"{one.answered:,}" if one.status == 0 else f"{one.answered:,}, refused"
        used = f"{one.seconds:.0f} s | {one.memory / 1e6:,.0f} MB" if one.memory else "|"
        lines.append(f"| {one.name} | {one.given:,} | {answers} | {used} |")
    return "\n".join(lines)


def filters(place: Path, count: int, size: int) -> tuple[str, list[str]]:
    """The table, and a line for each input that is wrong."""
    found: list[Any] = []
    for one in loads(place, count, size):
        print(f"{one.name}: {one.answered:,} of {one.given:,}, status {one.status}", flush=True)
        found.append(one)
    return table(found), [text for text in map(wrong, found) if text is not None]
