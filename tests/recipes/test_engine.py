import json
import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from points_case import Points, equal, losses, run
from torch import nn

from spikeseq.nn import LIF
from spikeseq.recipes.engine import Progress, fit
from spikeseq.recipes.settings import TrainSettings
from spikeseq.recipes.shared.optimiser import parameter_groups, rate_at


@pytest.mark.parametrize("step", [0, 1, 4, 6, 11, 15])
def test_cut_off_at_any_step_and_resumed(tmp_path, step):
    whole, half = tmp_path / "whole", tmp_path / "half"
    whole.mkdir(), half.mkdir()
    expected, _ = run(whole)
    count = iter(range(100))

    def cut(loss, what):
        if next(count) == step:
            raise KeyboardInterrupt

    settings = TrainSettings(epochs=4, warmup=2, average=0.5, patience=0)
    with pytest.raises(KeyboardInterrupt):
        fit(Points(), settings, half, accelerator=Accelerator(cpu=True), progress=Progress(step=cut))
    torch.rand(7)  # a new process has other random numbers
    found, state = fit(Points(), settings, half, resume=True, accelerator=Accelerator(cpu=True))
    assert equal(found, expected) and losses(half) == losses(whole)
    assert [record["epoch"] for record in state.history] == [1, 2, 3, 4]


def test_the_log_is_mended_when_a_kill_came_before_it(tmp_path):
    run(tmp_path)
    complete = (tmp_path / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(complete.splitlines(keepends=True)[0])
    fit(
        Points(),
        TrainSettings(epochs=4, patience=0),
        tmp_path,
        resume=True,
        accelerator=Accelerator(cpu=True),
    )
    assert (tmp_path / "log.jsonl").read_text() == complete


def test_patience_stops_and_the_best_epoch_is_kept(tmp_path):
    snapshots = []
    task = Points(scores=[0.1, 0.5, 0.5, 0.4, 0.9])
    validate = task.validate
    task.validate = lambda model, device: (
        snapshots.append({k: v.clone() for k, v in model.state_dict().items()}) or validate(model, device)
    )
    model, state = run(tmp_path, task, epochs=5, patience=2)
    assert len(state.history) == 4 and state.best_epoch == 1 and state.best == 0.5
    assert all(torch.equal(model.state_dict()[name], value) for name, value in snapshots[1].items())
    _, state = run(tmp_path, Points(scores=[0.5, 0.1, 0.1, 0.1, 0.1]), epochs=5, patience=0)
    assert len(state.history) == 5


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_what_was_saved(tmp_path):
    run(tmp_path, epochs=1)
    before = (tmp_path / "resume.pt").read_bytes()
    task = Points()
    task.loss = lambda model, batch: model(batch[0]).sum() * math.nan
    with pytest.raises(
        FloatingPointError, match=r"loss is nan in epoch 1; try a smaller train.learning_rate"
    ):
        run(tmp_path, task)
    assert (tmp_path / "resume.pt").read_bytes() == before


def test_a_resume_file_that_does_not_fit(tmp_path):
    run(tmp_path, epochs=1)
    other = Points()
    other.model = nn.Linear(2, 2)
    settings, cpu = TrainSettings(epochs=2), Accelerator(cpu=True)
    with pytest.raises(ValueError, match=r"resume.pt does not fit this model") as caught:
        fit(other, settings, tmp_path, resume=True, accelerator=cpu)
    assert "\n" not in str(caught.value)
    content = (tmp_path / "resume.pt").read_bytes()
    for damaged in (b"", content[:500], b"not a file of torch"):
        (tmp_path / "resume.pt").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"resume.pt is damaged: .*; begin anew in another --out"):
            fit(Points(), settings, tmp_path, resume=True, accelerator=cpu)


def test_a_resume_file_is_never_unpickled_freely(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("unpickled",))

    torch.save({"model": Evil()}, tmp_path / "resume.pt")
    with pytest.raises(ValueError, match="is damaged: "):
        fit(Points(), TrainSettings(), tmp_path, resume=True, accelerator=Accelerator(cpu=True))


def test_no_warnings_and_no_noise(tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_parameter_groups():
    model = nn.ModuleDict(
        {"table": nn.Embedding(5, 4), "map": nn.Linear(4, 3), "lif": LIF(), "frozen": nn.Linear(2, 2)}
    )
    model["frozen"].requires_grad_(False)
    groups = parameter_groups(model, TrainSettings(learning_rate=0.1, embedding_rate=0.5, weight_decay=0.2))
    matrices, vectors, tables = groups
    assert [p.shape for p in matrices["params"]] == [(3, 4)] and matrices["weight_decay"] == 0.2
    assert len(vectors["params"]) == 3 and vectors["weight_decay"] == 0  # bias, leak, threshold
    assert [p.shape for p in tables["params"]] == [(5, 4)]
    assert tables["lr"] == 0.05 and tables["weight_decay"] == 0
    matrices, vectors = parameter_groups(model, TrainSettings(embedding_rate=0.0))
    assert not model["table"].weight.requires_grad and model["map"].weight.requires_grad
    assert [p.shape for p in matrices["params"]] == [(3, 4)] and len(vectors["params"]) == 3


def test_the_learning_rate_rises_and_falls():
    rates = [rate_at(step, 100, 10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[100] == pytest.approx(0, abs=1e-12)
    assert max(rates) == rates[9] or max(rates) == rates[10]
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate_at(0, 8, 200) == pytest.approx(0.5)  # a short training warms up for a quarter of it
    assert all(math.isfinite(rate_at(step, 1, 0)) for step in (0, 1))


def test_the_learning_rate_falls_along_a_line():
    rates = [rate_at(step, 100, 10, "linear") for step in range(102)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:101] == pytest.approx([(100 - step) / 90 for step in range(10, 101)])
    assert rates[101] == 0  # an epoch may have more batches than the first one
    assert [rate_at(step, 1, 0, "linear") for step in (0, 1)] == [1, 0]


def test_the_schedule_of_the_settings_is_followed(tmp_path):
    models = {}
    for schedule in ("cosine", "linear"):
        models[schedule], _ = run(tmp_path, schedule=schedule)
    assert not equal(models["cosine"], models["linear"])
    assert equal(run(tmp_path)[0], models["cosine"])


def test_speed_is_logged_where_a_task_counts_tokens(tmp_path):
    task = Points()
    task.tokens = len
    _, state = run(tmp_path, task, epochs=1)
    record = json.loads((tmp_path / "log.jsonl").read_text())
    assert record == state.history[0] and record["tokens_per_second"] > 0


@pytest.mark.parametrize(
    "bad",
    [
        {"batch_tokens": -1}, {"schedule": "step"},
        {"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": math.nan},
        {"learning_rate": math.inf}, {"embedding_rate": -1.0}, {"weight_decay": -0.1}, {"warmup": -1},
        {"clip": 0.0}, {"clip": math.nan}, {"average": 1.0}, {"label_smoothing": 1.0}, {"patience": -1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range(bad):
    (name, value), = bad.items()  # fmt: skip
    with pytest.raises(ValueError, match=rf"train\.{name} must be .*, got {value!r}"):
        TrainSettings(**bad)


def test_progress_hears_of_everything(tmp_path):
    heard = SimpleNamespace(starts=[], steps=0, ends=[])

    def step(loss, what):
        assert math.isfinite(loss) and what == "loss"
        heard.steps += 1

    progress = Progress(lambda *start: heard.starts.append(start), step, heard.ends.append)
    fit(Points(), TrainSettings(epochs=2), tmp_path, accelerator=Accelerator(cpu=True), progress=progress)
    assert heard.starts == [(0, 4, "epoch"), (1, 4, "epoch")] and heard.steps == 8
    assert [end["epoch"] for end in heard.ends] == [1, 2]
    assert heard.ends[0].keys() == {"epoch", "loss", "validation", "seconds", "validation_seconds"}


class Spiking(nn.Module):
    def __init__(self):
        super().__init__()
        self.map, self.lif, self.out = nn.Linear(2, 16), LIF(substeps=3, leak=0.5), nn.Linear(16, 2)

    def forward(self, x):
        return self.out(self.lif(self.map(x).unsqueeze(0), readout="rate")[0][0])


def test_a_spike_penalty_makes_neurons_fire_less(tmp_path):
    rates = {}
    for penalty in (0.1, 10.0):
        task = Points()
        task.model = Spiking()
        folder = tmp_path / str(penalty)
        folder.mkdir()
        _, state = run(folder, task, spike_penalty=penalty, learning_rate=0.05, epochs=6)
        rates[penalty] = [record["spike_rate"] for record in state.history]
        assert not any(module._forward_hooks for module in task.model.modules())
    assert rates[10.0][-1] < 0.5 * rates[0.1][-1] and rates[0.1][-1] > 0.1
    with pytest.raises(ValueError, match=r"train.spike_penalty must be 0 for a model without spikes, got 1"):
        run(tmp_path, spike_penalty=1.0)
