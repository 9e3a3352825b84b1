"""How long an import takes, and the command line until it answers: whole processes, in user time."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step

TORCH = "torch"
ALL_NAMES = (
    "import spikeseq; from spikeseq import nn, functional, models, swap, monitor, to_spiking, fold_embeddings"
)
COMMANDS = {"help": ["--help"], "info": ["info"]}
# Runs to answer with, as small as the recipes allow: what they say does not matter here.
RUNS = {
    "classify": (
        "imdb",
        ("data.limit=60", "model.hidden_size=8", "evaluate.energy_texts=2"),
        "a good film\n",
    ),
    "translate": (
        "multi30k",
        ("data.limit=40", "data.pieces=330", "model.channels=8", "evaluate.energy_texts=2"),
        "ein hund\n",
    ),
}


def start_benchmarks(peers: Sequence[str]) -> Iterator[Benchmark]:
    """Processes from their start to their end, beside one that only imports torch."""
    torch = [Contender(TORCH, "python -c 'import torch'", partial(python_step, "import torch"))] * (
        TORCH in peers
    )
    for title, code in (("import", "import spikeseq"), ("import all", ALL_NAMES)):
        ours = Contender("spikeseq", code, partial(python_step, code))
        yield benchmark(title, (ours, *torch), partial(python_step, code))
    for name, arguments in COMMANDS.items():
        step = partial(command_step, arguments)
        yield benchmark(name, (Contender("spikeseq", f"spikeseq {' '.join(arguments)}", step), *torch), step)
    with tempfile.TemporaryDirectory() as folder:
        for name, (recipe, settings, line) in RUNS.items():
            run = Path(folder) / recipe
            chosen = [part for setting in settings for part in ("--set", setting)]
            step = partial(command_step, [name, str(run)], line)
            contender = Contender("spikeseq", f"echo ... | spikeseq {name} RUN", step)
            train = ["train", recipe, *chosen, "--epochs", "1", "--out", str(run)]
            yield benchmark(name, (contender, *torch), partial(command_step, train))


def benchmark(title: str, contenders: tuple[Contender, ...], first: partial[Step]) -> Benchmark:
    """Timed in seconds of the processor; `first` runs once before, so that what is built once is there."""

    def check() -> None:
        for _, phase in first():
            phase(None)

    return Benchmark(f"start {title}", "user time of a process", contenders, check, device="process")


def python_step(code: str) -> Step:
    return process_step([sys.executable, "-c", code])


def command_step(arguments: Sequence[str], line: str = "") -> Step:
    return process_step([sys.executable, "-m", "spikeseq.cli", *arguments], line)


def process_step(command: Sequence[str], line: str = "") -> Step:
    # As it is for users: Python keeps what it has compiled of a package.
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run(_: object) -> None:
        done = subprocess.run(command, input=line, capture_output=True, text=True, env=usual)
        if done.returncode:
            refuse(" ".join(command[1:4]), f"it ended with status {done.returncode}: {done.stderr[-300:]}")

    return (("process", run),)
