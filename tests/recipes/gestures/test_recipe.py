"""The recipe for gestures end to end: recordings in tonic's layout, read by tonic's class, no network."""

import json
import shutil
import socket

import numpy as np
import pytest
import torch
from gesture_case import event_list
from recipe_case import before_manifests, refused, sets

import spikeseq
from spikeseq.models.gesture import GestureStream
from spikeseq.recipes.config import load_config
from spikeseq.recipes.gestures.data import GestureData, GestureSplit
from spikeseq.recipes.gestures.files import read_recording
from spikeseq.recipes.gestures.sample import CLASSES
from spikeseq.recipes.gestures.task import GestureTask, direction_accuracy
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.train import train

datasets = pytest.importorskip("tonic.datasets")
pytestmark = pytest.mark.usefixtures("cache", "no_network")
QUICK = [
    "data.limit=44", "data.frames=4", "data.size=32", "data.validation_subjects=1", "model.widths=[4,8]",
    "model.hidden=8", "train.epochs=1", "train.batch_size=16", "train.precision=float32",
    "evaluate.energy_recordings=2",
]  # fmt: skip
FRAMES = ["data.frame_ms=15.0"]


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **options):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def sample(recordings):
    return recordings


@pytest.fixture(scope="module")
def runs(training, sample):
    """A run of each kind; and how often tonic's class was made."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        init = datasets.DVSGesture.__init__

        def counted(self, *args, **options):
            made.append(options)
            init(self, *args, **options)

        patch.setattr(datasets.DVSGesture, "__init__", counted)
        for name, model, method, extra in (
            ("snn", "snn", "frames", FRAMES),
            ("gru", "gru", "frames", FRAMES),
            ("control", "snn", "frames", [*FRAMES, "model.memory=false", "data.polarity=merge"]),
            ("blocks", "snn", "blocks", []),
            ("blocks-ann", "ann", "blocks", []),
            ("blocks-gru", "gru", "blocks", []),
        ):
            config = load_config(
                "dvs128", model=model, method=method, data=str(sample), overrides=[*QUICK, *extra]
            )
            train(config, training / name)
    return training, made


def metrics_of(runs, name):
    return json.loads((runs[0] / name / "metrics.json").read_text())


def a_recording(sample, label=3):
    return next(iter(sorted(sample.glob(f"DVSGesture/ibmGestureTest/*/{label}.npy"))))


def test_tonic_reads_the_recordings(runs, sample):
    assert {options["train"] for options in runs[1]} == {True, False}
    assert all(options["save_to"] == str(sample) for options in runs[1])


@pytest.mark.parametrize("name", ["snn", "gru", "control", "blocks", "blocks-ann", "blocks-gru"])
def test_metrics_of_a_run(runs, name):
    metrics = metrics_of(runs, name)
    test, energy = metrics["test"], metrics["energy"]
    assert 0 <= test["accuracy"] <= 100 and 0 <= test["accuracy_direction"] <= 100
    assert metrics["recordings"] == {"train": 30, "validation": 14, "test": 44}
    assert metrics["subjects"] == {"train": 2, "validation": 1, "test": 3}
    assert not energy["not_counted"] and "per gesture" in energy["signature"]
    spiking = name in ("snn", "control", "blocks")
    assert (energy["spike_rate"] is not None) is spiking
    if spiking:  # frames are binary, so even the first map only adds
        assert energy["macs"] == 0 and energy["acs"] > 0
    else:
        assert energy["macs"] > 0
    decides = name not in ("blocks", "blocks-ann")
    assert ("accuracy_by_frame" in test) is decides
    if decides:
        assert len(test["accuracy_by_frame"]) == 4 and test["accuracy_by_frame"][-1] == test["accuracy"]
        assert set(test["latency"]) == {"frames", "events", "ms"}
        assert (test["latency"]["ms"] is None) is (name == "blocks-gru" or test["latency"]["frames"] is None)


@pytest.mark.parametrize("name", ["snn", "gru"])
def test_events_as_they_arrive_give_the_decisions_of_the_frames(runs, sample, name):
    classifier = spikeseq.load(runs[0] / name)
    for label in (0, 4):
        path = a_recording(sample, label)
        events, whole = read_recording(path), classifier.trace(path)
        live, decisions = classifier.stream(), []
        for chunk in np.array_split(events, 13):
            decisions += live.push(chunk)
        later = event_list((0, 0, 1, events["t"][-1] / 1000 + 100))  # completes the last frames
        decisions += live.push(later)
        found = torch.tensor([list(one.scores.values()) for one in decisions[: len(whole)]])
        torch.testing.assert_close(found, whole.softmax(1))
        prediction = classifier.predict([path])[0]
        assert prediction.label == decisions[len(whole) - 1].label
        assert classifier.predict([events])[0].scores == prediction.scores


def test_blocks_are_no_stream(runs):
    with pytest.raises(ValueError, match="encoding must be 'frames'"):
        spikeseq.load(runs[0] / "blocks").stream()


def test_what_a_classifier_refuses(runs, tmp_path):
    classifier = spikeseq.load(runs[0] / "snn")
    with pytest.raises(TypeError, match="recordings must be a list"):
        classifier.predict("0.npy")
    with pytest.raises(TypeError, match="recordings must be a list, got one int"):
        classifier.predict(5)
    with pytest.raises(TypeError, match="paths or arrays of events; one of them is list"):
        classifier.predict([[]])
    with pytest.raises(ValueError, match="classes must have different names"):
        GestureStream(classifier.model, classifier.encoding, ["a"] * len(CLASSES))
    with pytest.raises(TypeError, match="classes must be a list of strings, got one string"):
        GestureStream(classifier.model, classifier.encoding, "abcdefghijk")
    np.save(tmp_path / "0.npy", np.zeros((0, 4), np.int32))
    with pytest.raises(ValueError, match="an empty recording"):
        classifier.predict([tmp_path / "0.npy"])
    with pytest.raises(ValueError, match="the recording, event 2: time goes back from 5 to 4 ms"):
        classifier.predict([event_list((3, 3, 1, 5), (3, 3, 1, 4))])
    with pytest.raises(ValueError, match="the recording, event 1: x is 200"):
        classifier.predict([event_list((200, 3, 1, 5))])
    with pytest.raises(TypeError, match=r"the recording: events must be \(N,\) with whole-number fields"):
        classifier.predict([np.zeros((5, 4), np.int32)])
    (tmp_path / "1.npy").write_bytes((tmp_path / "0.npy").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"1.npy: not a whole .npy file"):
        classifier.predict([tmp_path / "1.npy"])


@pytest.mark.parametrize("change", [{"frames": 5}, {"clip": 2}])
def test_another_encoding_than_that_of_the_run(runs, tmp_path, change):
    folder = before_manifests(shutil.copytree(runs[0] / "snn", tmp_path / "snn"))
    about = json.loads((folder / "gestures.json").read_text())
    about["encoding"] |= change
    (folder / "gestures.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"gestures\.json is damaged: .* is not what config.yaml says"):
        spikeseq.load(folder)


def test_the_command_line(runs, sample, tmp_path, cli):
    snn = str(runs[0] / "snn")
    lines = f"{a_recording(sample)}\n{a_recording(sample, 7)}\n".encode()
    done = cli("classify", snn, "--trace", str(tmp_path / "scores.png"), stdin=lines)
    assert done.code == 0 and all(line.split("\t")[0] in CLASSES for line in done.out.splitlines())
    assert len(done.out.splitlines()) == 2 and (tmp_path / "scores.png").stat().st_size > 5000
    done = cli("classify", str(runs[0] / "blocks"), "--trace", "x.png", stdin=lines)
    assert "expected a run of --method frames" in refused(done)
    assert "no/such.npy: not a whole .npy file" in refused(cli("classify", snn, stdin=b"no/such.npy\n"))
    found = json.loads(cli("evaluate", snn, "--split", "validation", "--json").out)
    assert found["accuracy"] == pytest.approx(metrics_of(runs, "snn")["validation"]["accuracy"], abs=1e-3)
    done = cli("energy", snn, str(runs[0] / "gru"), "--json")
    assert len(json.loads(done.out)["tables"]["dvs128"]["compute"]) == 2 and "per gesture" in done.err


def test_a_training_by_command(sample, tmp_path, cli):
    arguments = ["train", "dvs128", "--method", "frames", "--data", str(sample), "--out", str(tmp_path / "r")]
    done = cli(*arguments, *sets([*QUICK, *FRAMES]))
    assert done.code == 0 and "cw/ccw %" in done.err
    assert {"decisions.png", "gestures.json", "learning.png"} <= {p.name for p in (tmp_path / "r").iterdir()}
    done = cli(*arguments, *sets([*QUICK, "data.frame_ms=20.0"]), "--resume")
    assert "was started with data.frame_ms=15.0, now it is 20.0" in refused(done)


@pytest.mark.parametrize(
    ("method", "extra", "problem"),
    [
        ("blocks", ["data.encoding=frames"], "data.encoding is not changed by --set but by --method"),
        ("frames", ["data.size=50"], "data.size=50: expected one of 128, 64, 32"),
        (
            "frames",
            ["data.sensor_shift=128"],
            "data.sensor_shift must be less than the sensor's 128 pixels, got 128",
        ),
        ("frames", ["data.sensor_shift=-1"], "data.sensor_shift must be at least 0, got -1"),
        ("frames", ["evaluate.energy_recordings=0"], "evaluate.energy_recordings must be at least 1"),
        ("frames", ["model.widths=[]"], "model.widths must be one number or more"),
        ("frames", ["model.surrogate=step"], "model.surrogate must be one of"),
        ("frames", ["data.frame_ms=null"], "data.frame_ms=None and frame_events=None"),
        ("pictures", [], "recipe 'dvs128' has no method 'pictures'"),
    ],
)
def test_settings_that_are_refused(sample, method, extra, problem, tmp_path, cli):
    run = tmp_path / "run"
    done = cli("train", "dvs128", "--method", method, "--data", str(sample), *sets(extra), "--out", str(run))
    assert problem in refused(done) and not run.exists()


@pytest.mark.parametrize(
    ("model", "method", "change", "problem"),
    [
        (
            "gru",
            "frames",
            "model.memory=false",
            r"model\.memory has no effect on gru, .*; got False",
        ),
        ("gru", "frames", "model.leaks=[0.1,0.9]", r"model\.leaks has no effect on gru"),
        (
            "ann",
            "frames",
            "model.initial=0.5",
            r"model\.initial has no effect on ann, .*; got 0.5",
        ),
        ("snn", "blocks", "model.memory=false", r"model\.memory has no effect with --method blocks"),
        (
            "snn",
            "frames",
            "model.leaks=0.5",
            r"model\.leaks must be list of float, such as .*; got '0.5'",
        ),
        (
            "snn",
            "frames",
            "model.widths=5",
            r"model\.widths must be list of int, such as .*; got '5'",
        ),
    ],
)
def test_what_would_have_no_effect(model, method, change, problem):
    with pytest.raises(ConfigError, match=problem):
        load_config("dvs128", model=model, method=method, overrides=[change])


def test_a_real_recording_has_more_frames_than_one_of_the_sample():
    assert load_config("dvs128", method="frames").data.frames == 24
    assert load_config("dvs128", method="frames", data="hub").data.frames == 120
    table = load_config("dvs128", data="hub")  # thesis table 6.1
    assert (table.model.method, table.data.frames, table.data.size, table.model.substeps) == (
        "blocks", 20, 128, 5,
    )  # fmt: skip


# Figures by hand


def test_latency_by_hand():
    right = torch.tensor([[1, 0, 0], [0, 0, 1], [1, 1, 1], [1, 0, 1]]).bool()
    arrived = torch.tensor([[10, 20, 30, 40]] * 3)
    encoding = spikeseq.models.gesture.Encoding("frames", frames=4, frame_ms=50.0)
    split = GestureSplit(torch.zeros(3), torch.zeros(3), torch.zeros(3), arrived)
    task = GestureTask(torch.nn.Identity(), GestureData("", [], encoding, {}), 1, 0)
    # The first is right from the third frame on, the second never, the third from the second.
    assert task.latency(right, split) == {"frames": 2.5, "events": 25, "ms": 125.0}
    assert task.latency(right[:, 1:2], split) == {"frames": None, "events": None, "ms": None}


def test_direction_by_hand():
    cw, ccw = CLASSES.index("Right arm cw"), CLASSES.index("Right arm ccw")
    scores = torch.zeros(4, len(CLASSES))
    scores[:, 0] = 9  # another class is likelier still: only the two are compared
    scores[0, cw] = scores[1, cw] = scores[2, ccw] = 1
    assert direction_accuracy(scores, torch.tensor([cw, ccw, ccw, 0])) == pytest.approx(100 * 2 / 3)
    assert direction_accuracy(scores, torch.tensor([0, 0, 1, 2])) is None
