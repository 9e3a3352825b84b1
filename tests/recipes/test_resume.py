"""What a training goes on from: the last epoch, or the one before where that is damaged."""

import io
import json
import os
import shutil

import pytest
import torch
from accelerate import Accelerator
from points_case import Points, equal, losses, run

from spikeseq.recipes import resume
from spikeseq.recipes.engine import Progress, fit
from spikeseq.recipes.lock import held
from spikeseq.recipes.settings import TrainSettings

SETTINGS = TrainSettings(epochs=4, warmup=2, average=0.5, patience=0)


def go_on(folder, said=None):
    say = (lambda text: None) if said is None else said.append
    return fit(
        Points(), SETTINGS, folder, resume=True, accelerator=Accelerator(cpu=True), progress=Progress(say=say)
    )


@pytest.fixture
def cut(tmp_path):
    """A run that was ended after two epochs of four."""

    def stop(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    folder = tmp_path / "cut"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit(Points(), SETTINGS, folder, accelerator=Accelerator(cpu=True), progress=Progress(end_epoch=stop))
    assert {path.name for path in folder.iterdir()} == {"resume.pt", "resume.previous.pt", "log.jsonl"}
    return folder


@pytest.fixture
def whole(tmp_path):
    (tmp_path / "whole").mkdir()
    return run(tmp_path / "whole")[0], losses(tmp_path / "whole")


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: flipped(content, 3),
        lambda content: flipped(content, 40),
        lambda content: flipped(content, len(content) // 2),
        lambda content: content + b"\0",
        None,
    ],
    ids=["empty", "last", "half", "beginning", "checksum", "middle", "longer", "gone"],
)
def test_a_damaged_file_falls_back_to_the_one_before(cut, whole, damage):
    path, said = cut / "resume.pt", []
    content = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage(content))
    model, state = go_on(cut, said)
    (line,) = said
    assert "resume.pt is damaged (" in line and "going on from resume.previous.pt, the one before" in line
    assert equal(model, whole[0]) and losses(cut) == whole[1] and state.epoch == 4
    assert resume.read(path)["state"]["epoch"] == 4
    assert resume.read(cut / "resume.previous.pt")["state"]["epoch"] == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
@pytest.mark.parametrize("name", ["resume.pt", "resume.previous.pt"])
def test_a_pipe_is_not_waited_for(cut, whole, name):
    said = []
    (cut / name).unlink()
    os.mkfifo(cut / name)
    model, _ = go_on(cut, said)
    assert len(said) == (name == "resume.pt")
    assert all("resume.pt is damaged (it is no file); going on from" in line for line in said)
    assert equal(model, whole[0]) and losses(cut) == whole[1]


def test_both_damaged_are_refused(cut):
    for name in ("resume.pt", "resume.previous.pt"):
        (cut / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"resume\.pt is damaged: it is no file of a training; begin anew"):
        go_on(cut)


def test_a_kill_between_the_two_renames_loses_an_epoch(cut, whole):
    (cut / "resume.pt").replace(cut / "resume.previous.pt")
    model, _ = go_on(cut)
    assert equal(model, whole[0]) and losses(cut) == whole[1]


def of_an_older_version(folder, change=lambda saved: None):
    """The file as versions without checksums wrote it, perhaps changed: nothing but its content tells."""
    saved = resume.read(folder / "resume.pt")
    change(saved)
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    (folder / "resume.pt").write_bytes(buffer.getvalue())


def test_a_file_without_a_checksum_is_gone_on_from(cut, whole):
    of_an_older_version(cut)
    (cut / "resume.previous.pt").unlink()  # which such versions did not keep
    model, _ = go_on(cut)
    assert equal(model, whole[0]) and losses(cut) == whole[1]


def test_one_without_a_checksum_beside_one_with_it_came_from_elsewhere(cut, whole):
    of_an_older_version(cut, lambda saved: saved["model"]["0.weight"].fill_(3))
    said = []
    model, _ = go_on(cut, said)
    assert "resume.pt is damaged (it has no checksum, as the one before has); going on from" in said[0]
    assert equal(model, whole[0]) and losses(cut) == whole[1]


def test_one_without_a_checksum_is_refused_where_the_one_before_is_damaged(cut):
    of_an_older_version(cut)
    path = cut / "resume.previous.pt"
    path.write_bytes(flipped(path.read_bytes(), 200))
    with pytest.raises(ValueError, match=r"resume\.pt is damaged: it has no checksum"):
        go_on(cut)


def test_a_copy_elsewhere_goes_on_by_itself(cut, whole, tmp_path):
    """Taken while a training holds the folder, with what that was about to write."""
    with held(cut, pytest.fail):
        (cut / ".resume.pt.0123abcd").write_bytes(b"half")
        copy = shutil.copytree(cut, tmp_path / "copy")
        with held(copy, pytest.fail):
            model, _ = go_on(copy)
    assert equal(model, whole[0]) and losses(copy) == whole[1] != losses(cut)


def first_moment(saved):
    return saved["optimizer"]["state"][0]


def put(container, key, value):
    container[key] = value


CHANGES = {
    "optimizer.state.0.exp_avg is (4, 4)": lambda s: put(first_moment(s), "exp_avg", torch.zeros(4, 4)),
    "optimizer.state.0.exp_avg is (8, 2) of torch.float64": lambda s: put(
        first_moment(s), "exp_avg", torch.zeros(8, 2, dtype=torch.float64)
    ),
    "optimizer.state.0.exp_avg_sq holds nan": lambda s: first_moment(s)["exp_avg_sq"].fill_(float("nan")),
    "optimizer.state.0 holds a value below 0": lambda s: first_moment(s)["exp_avg_sq"].fill_(-1),
    "optimizer.state.0.step is no tensor": lambda s: put(first_moment(s), "step", 3),
    "optimizer.state.0 has no 'step'": lambda s: first_moment(s).pop("step"),
    "optimizer.state has 77": lambda s: put(s["optimizer"]["state"], 77, first_moment(s)),
    "param_groups are of other parameters": lambda s: s["optimizer"]["param_groups"][0]["params"].reverse(),
    "param_groups.0.lr is 'a'": lambda s: put(s["optimizer"]["param_groups"][0], "lr", "a"),
    "param_groups is [": lambda s: s["optimizer"]["param_groups"].pop(),
    "schedule.last_epoch is None": lambda s: put(s["schedule"], "last_epoch", None),
    "schedule.base_lrs is []": lambda s: put(s["schedule"], "base_lrs", []),
    "model.0.weight holds inf": lambda s: s["model"]["0.weight"].fill_(float("inf")),
    "model has no '0.weight'": lambda s: s["model"].pop("0.weight"),
    "average.n_averaged is no tensor": lambda s: put(s["average"], "n_averaged", 1),
    "best.2.bias is (1,)": lambda s: put(s["best"], "2.bias", torch.zeros(1)),
    "random.cpu is (3,)": lambda s: put(s["random"], "cpu", torch.zeros(3, dtype=torch.uint8)),
    "it has no 'random'": lambda s: s.pop("random"),
    "state.epoch is 'two'": lambda s: put(s["state"], "epoch", "two"),
    "epoch 1, the best": lambda s: put(s["state"], "epoch", 1),
    "loss is nan": lambda s: put(s["state"]["history"][0], "loss", float("nan")),
    "validation.score is None": lambda s: put(s["state"]["history"][0]["validation"], "score", None),
}


@pytest.mark.parametrize("told", CHANGES)
def test_content_that_does_not_fit_is_refused_and_nothing_is_trained(cut, told):
    of_an_older_version(cut, CHANGES[told])
    (cut / "resume.previous.pt").unlink()
    before = {path.name: path.read_bytes() for path in cut.iterdir()}
    with pytest.raises(ValueError, match=r"resume\.pt does not fit this model and configuration") as caught:
        go_on(cut)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in cut.iterdir()} == before


def test_the_log_is_made_anew_from_the_file(cut, whole):
    (cut / "log.jsonl").write_text(json.dumps({"epoch": 9}) + "\n")
    go_on(cut)
    assert losses(cut) == whole[1]
