"""Training in two processes on the CPU, started by torchrun as a user starts them.

The first test pays for the start; as a script, this file is what the two processes run.
"""

import json
import os
import random
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from accelerate import Accelerator
from recipe_case import LANGUAGE, TRANSLATION, quick, sets
from safetensors.torch import load_file
from torch import nn

from spikeseq.cli import main
from spikeseq.recipes.config import load_config
from spikeseq.recipes.engine import Progress, Task, dealt, fit
from spikeseq.recipes.settings import TrainSettings
from spikeseq.recipes.train import train

pytestmark = [
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed"),
    pytest.mark.timeout(700),  # the first test pays for the processes, where others compute, too
]
SETTINGS = TrainSettings(epochs=4, warmup=2, average=0.5, patience=0, learning_rate=0.05)
FILES = {"config.yaml", "log.jsonl", "model.safetensors", "metrics.json"}


class Clouds(Task):
    """Two clouds of points in parts of 8, with a note of what is done with them.

    together: parts per batch, whose losses are averaged. noisy: with dropout and batch normalisation.
    scores: of the validations, else how well the points are told apart.
    """

    def __init__(self, parts=4, together=1, noisy=False, scores=None):
        extra = [nn.BatchNorm1d(8), nn.Dropout(0.5)] if noisy else []
        self.model = nn.Sequential(nn.Linear(2, 8), *extra, nn.Tanh(), nn.Linear(8, 2)).double()
        points = torch.randn(parts, 8, 2, generator=torch.Generator().manual_seed(0))
        self.y = torch.arange(2).repeat(parts, 4)
        self.x = (points + self.y.unsqueeze(2)).double()
        self.together, self.scores = together, scores
        self.seen, self.drawn, self.validations = [], [], 0

    def batches(self, epoch):
        parts = list(range(len(self.x)))
        random.Random(epoch).shuffle(parts)
        return [parts[i : i + self.together] for i in range(0, len(parts), self.together)]

    def tokens(self, batch):
        return 8 * len(batch)

    def collate(self, batch, rng):
        self.seen.append(batch[0])
        return self.x[batch], self.y[batch]

    def loss(self, model, batch):
        self.drawn.append(torch.rand(()).item())
        return torch.stack(
            [nn.functional.cross_entropy(model(x), y) for x, y in zip(*batch, strict=True)]
        ).mean()

    @torch.no_grad()
    def validate(self, model, device):
        self.validations += 1
        if self.scores:
            return {"score": self.scores[self.validations - 1]}
        logits = model.eval()(self.x.flatten(0, 1))
        return {"score": -nn.functional.cross_entropy(logits, self.y.flatten()).item()}


class Ended(Exception):
    """What a test ends a process by."""


def ending(task, call):
    """The task, whose loss cannot be computed for the `call`-th time."""
    loss = task.loss

    def ended(model, batch):
        if len(task.drawn) == call:
            raise Ended("on purpose")
        return loss(model, batch)

    task.loss = ended
    return task


def outcome(task, folder, settings=SETTINGS, **changes):
    """What is left of a training in this process, in a form that can be written."""
    steps = []
    accelerator = Accelerator(cpu=True)
    progress = Progress(step=lambda loss, what: steps.append(loss))
    model, state = fit(task, settings, folder, accelerator=accelerator, progress=progress, **changes)
    return {
        "weights": dict(model.state_dict()),
        "losses": [record["loss"] for record in state.history],
        "scores": [record["validation"]["score"] for record in state.history],
        "speed": [record["tokens_per_second"] for record in state.history],
        "best_epoch": state.best_epoch,
        "heard": len(steps),
        **{name: getattr(task, name) for name in ("seen", "drawn", "validations")},
        "files": sorted(path.name for path in folder.iterdir()),
    }


def fresh(settings, limit):
    """With a number of texts that no other test takes: not in the cache, whatever ran before."""
    return [*(one for one in settings if not one.startswith("data.limit=")), f"data.limit={limit}"]


LINES = fresh([*LANGUAGE, "data.reset=true"], 58)
COMMANDS = {
    "imdb": ["imdb", *sets(fresh(quick(train__average=0.9), 118))],
    "multi30k": ["multi30k", *sets(fresh(TRANSLATION, 38))],
    "lm": ["lm", *sets(LINES)],
}


def commanded(folder, rank):
    """The command line in a folder of its own; what it prints, in files beside that."""
    os.chdir(folder / "commands")
    for name, arguments in COMMANDS.items():
        sys.argv = ["spikeseq", "train", *arguments, "--out", name, "--device", "cpu", "--json"]
        with (
            (folder / f"{name}.{rank}.out").open("w") as out,
            (folder / f"{name}.{rank}.err").open("w") as err,
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as end,
        ):
            main()
        assert not end.value.code, (folder / f"{name}.{rank}.err").read_text()


def work(folder):
    """What each process does. At the end one of them fails, for which the other must not wait for ever."""
    rank = Accelerator(cpu=True).process_index
    own = folder / f"files-of-{rank}"  # apart, to see who writes
    own.mkdir()
    torch.manual_seed(0)
    results = {"plain": outcome(Clouds(), own)}
    torch.manual_seed(rank)  # other first weights: those of the first process count
    results["noisy"] = outcome(Clouds(parts=5, noisy=True), folder / "whole")
    torch.manual_seed(rank)
    try:
        outcome(ending(Clouds(parts=5, noisy=True), 8), folder / "cut")  # 3 steps an epoch: in the third
    except Ended:
        torch.rand(7)  # a new process has other random numbers
        results["resumed"] = outcome(Clouds(parts=5, noisy=True), folder / "cut", resume=True)
    scores = [[0.2, 0.5, 0.4, 0.3, 0.9], [0.1, 0.2, 0.3, 0.4, 0.5]][rank]
    patient = TrainSettings(epochs=5, patience=2)
    results["patience"] = outcome(Clouds(scores=scores), own, patient)
    torch.save(results, folder / f"{rank}.pt")
    commanded(folder, rank)
    outcome(ending(Clouds(), 1) if rank else Clouds(), own)
    (own / "survived").touch()


class Done(NamedTuple):
    code: int
    out: str
    err: str


def torchrun(*command, cwd, cache):
    """Two processes; they are ended, and the test with them, if they take too long."""
    options = ["--standalone", "--nproc-per-node=2"]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}  # with tests/helpers
    environment["SPIKESEQ_CACHE"] = str(cache)
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *options, *map(str, command)],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | environment,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends those that it has started
        out, err = process.communicate(timeout=60)
        pytest.fail(f"the processes have not ended: {err[-2000:]}")
    return Done(process.returncode, out, err)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, session_cache):
    """The folder of `work`, how it ended, and the results of both processes."""
    folder = tmp_path_factory.mktemp("distributed")
    for name in ("whole", "cut", "commands"):
        (folder / name).mkdir()
    done = torchrun(__file__, folder, cwd=folder, cache=session_cache)
    assert (folder / "0.pt").exists() and (folder / "1.pt").exists(), done.err
    return folder, done, [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 5, 6])
def test_batches_are_dealt_out_and_wrapped(count, processes):
    hands = [dealt(list(range(count)), processes, rank) for rank in range(processes)]
    assert len({len(hand) for hand in hands}) == 1
    in_turn = [batch for step in zip(*hands, strict=True) for batch in step]
    assert in_turn[:count] == list(range(count))
    assert len(in_turn) < count + processes and set(in_turn) == set(range(count))


def test_two_processes_step_as_one_does_on_the_mean_of_both_losses(trained, tmp_path):
    torch.manual_seed(0)
    task = Clouds(together=2)
    first = {name: value.clone() for name, value in task.model.state_dict().items()}
    expected = outcome(task, tmp_path)
    for found in (results["plain"] for results in trained[2]):
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-6)  # summed in float32
        assert found["scores"] == pytest.approx(expected["scores"], rel=1e-9)
        for name, value in expected["weights"].items():
            torch.testing.assert_close(found["weights"][name], value, rtol=1e-9, atol=1e-9)
            assert (first[name] - value).abs().max() > 0.01  # they have moved
    assert len(expected["losses"]) == 4 and expected["losses"][3] < expected["losses"][0]


@pytest.mark.parametrize("case", ["plain", "noisy", "resumed", "patience"])
def test_both_processes_end_equal(trained, case):
    a, b = (results[case] for results in trained[2])
    assert same(a["weights"], b["weights"])
    assert (a["losses"], a["scores"], a["best_epoch"]) == (b["losses"], b["scores"], b["best_epoch"])


def test_each_has_its_share_of_the_batches_and_its_own_dropout(trained):
    a, b = (results["noisy"] for results in trained[2])
    for epoch in range(4):
        order = [batch[0] for batch in Clouds(parts=5).batches(epoch)]
        steps = slice(3 * epoch, 3 * epoch + 3)
        assert a["seen"][steps] == order[0::2] and b["seen"][steps] == [*order[1::2], order[0]]
    assert len({*a["drawn"], *b["drawn"]}) == len(a["drawn"] + b["drawn"]) == 24


def test_one_process_writes_validates_and_reports(trained):
    a, b = (results["plain"] for results in trained[2])
    assert a["files"] == ["log.jsonl", "resume.previous.pt", "resume.pt"] and b["files"] == []
    assert (a["validations"], b["validations"]) == (4, 0)
    assert (a["heard"], b["heard"]) == (8, 0)
    assert all(speed > 0 for speed in a["speed"])


def test_cut_off_and_resumed(trained):
    for results in trained[2]:
        whole, resumed = results["noisy"], results["resumed"]
        assert same(resumed["weights"], whole["weights"]) and whole["best_epoch"] == 3
        assert resumed["losses"] == whole["losses"] and resumed["scores"] == whole["scores"]
        assert resumed["seen"] == whole["seen"][6:] and resumed["drawn"] == whole["drawn"][6:]


def test_resumed_by_another_number_of_processes(trained):
    with pytest.raises(ValueError, match=r"resume\.pt was written by 2 processes, now there are 1"):
        outcome(Clouds(parts=5, noisy=True), trained[0] / "whole", resume=True)


def test_both_stop_by_the_scores_of_the_first(trained):
    for results in trained[2]:
        assert results["patience"]["scores"] == [0.2, 0.5, 0.4, 0.3]


def test_an_error_in_one_process_ends_the_other(trained):
    folder, done, _ = trained
    assert done.code != 0 and "Ended: on purpose" in done.err
    assert not list(folder.rglob("survived"))


@pytest.fixture(params=COMMANDS)
def command(trained, request):
    """The run folder of a command, its metrics, and what it said."""
    folder, name = trained[0], request.param
    (out, silent), (err, _) = (
        [(folder / f"{name}.{rank}.{kind}").read_text() for rank in (0, 1)] for kind in ("out", "err")
    )
    assert silent == ""
    return folder / "commands" / name, json.loads(out), err + (folder / f"{name}.1.err").read_text()


def test_the_command_line(command):
    """One process builds the corpus, makes the folder and prints; nothing is written or said twice."""
    run, metrics, said = command
    assert json.loads((run / "metrics.json").read_text()) == metrics
    assert metrics["hardware"].startswith("2 processes, each on ")
    assert {path.name for path in run.iterdir()} >= FILES
    assert sorted(path.name for path in run.parent.iterdir()) == sorted(COMMANDS)
    assert len((run / "log.jsonl").read_text().splitlines()) == metrics["epochs"]
    assert len(list((run / "tensorboard").iterdir())) == 1
    read = "encoding by byte" if run.name == "lm" else "tokenising "
    lines = [read, *(f"epoch {i + 1}: " for i in range(metrics["epochs"])), "testing", "wrote "]
    for line in lines:
        assert said.count(line) == 1, said
    if run.name == "imdb":
        assert metrics["epochs"] == 2 and said.count("reading sample") == 1
    elif run.name == "multi30k":
        assert metrics["epochs"] == 1 and "bleu_tok_lc" in metrics["test"]


def test_a_state_that_goes_on_does_so_in_each_process(trained, cache, tmp_path):
    """As in one process of twice the rows: of language models, which are reset at documents here."""
    train(load_config("lm", overrides=[*LINES, "train.batch_size=8"]), tmp_path / "one")
    one, two = (
        load_file(run / "model.safetensors") for run in (tmp_path / "one", trained[0] / "commands" / "lm")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
