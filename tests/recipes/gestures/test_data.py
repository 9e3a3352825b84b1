import json
import os
import shutil
import socket
import sys
import time

import numpy as np
import pytest
import torch
from gesture_case import SMALL, event_list, settings
from matplotlib import image

from spikeseq.recipes.gestures import data as gesture_data
from spikeseq.recipes.gestures.data import held_out, load_gestures, open_split
from spikeseq.recipes.gestures.frames import Encoding, encode
from spikeseq.recipes.gestures.plots import plot_events
from spikeseq.recipes.gestures.sample import CLASSES, make_recording, write_gesture_sample
from spikeseq.recipes.shared.errors import DataError

datasets = pytest.importorskip("tonic.datasets")

TRAIN, TEST = "DVSGesture/ibmGestureTrain", "DVSGesture/ibmGestureTest"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """An empty cache, and no network."""

    def refuse(*args, **options):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sample(recordings):
    return recordings


@pytest.fixture
def copy(sample, tmp_path):
    """A copy of the sample, to be damaged."""
    return shutil.copytree(sample, tmp_path / "copy")


@pytest.fixture
def encoded(monkeypatch):
    """The files that were encoded."""
    files = []
    whole = gesture_data.encode
    monkeypatch.setattr(
        gesture_data,
        "encode",
        lambda events, encoding, origin: (files.append(origin), whole(events, encoding, origin))[1],
    )
    return files


def message(section):
    with pytest.raises(DataError) as caught:
        load_gestures(section)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The layout


def test_tonic_reads_the_sample(sample):
    assert list(CLASSES) == datasets.DVSGesture.classes
    for train, users in ((True, {1, 2, 3}), (False, {24, 25, 26})):
        dataset = datasets.DVSGesture(save_to=str(sample), train=train)
        assert len(dataset) == 3 * 4 * 11 and set(dataset.users) == users
        assert set(dataset.lighting) == {"fluorescent", "fluorescent_led", "led", "natural"}
        assert np.bincount(dataset.targets).tolist() == [12] * 11
    index = next(i for i, path in enumerate(dataset.data) if path.endswith("user25_led/8.npy"))
    events, label = dataset[index]
    made = make_recording(7, 25, "led", 8, SMALL["seconds"])
    assert label == 8 and events.dtype == made.dtype
    made["t"] -= made["t"] % 1000  # kept in whole ms
    assert np.array_equal(events, made)


def test_a_sample_is_the_same_for_its_seed_and_large_enough(sample, tmp_path):
    paths = [TRAIN + "/user02_natural/3.npy", TEST + "/user24_led/10.npy"]
    write_gesture_sample(tmp_path / "other", 8, **(SMALL | dict(seconds=0.02)))
    for path in paths:
        array = np.load(sample / path)
        assert array.ndim == 2 and array.shape[1] == 4 and array.dtype == np.int32
        assert not np.array_equal(array, np.load(tmp_path / "other" / path))
    for wrong in (dict(test=2), dict(train=24), dict(test=77)):
        with pytest.raises(ValueError, match="recordings; expected 100 or more, of at most"):
            write_gesture_sample(tmp_path / "wrong", **(SMALL | wrong))
    assert not (tmp_path / "wrong").exists()


# Splits


def test_splits_of_a_folder(sample):
    said = []
    data = load_gestures(settings(sample), said.append)
    assert data.name == sample.name and data.classes == list(CLASSES)
    assert data.facts() == {
        "recordings": {"train": 88, "validation": 44, "test": 132},
        "subjects": {"train": 2, "validation": 1, "test": 3},
        "events": {name: int(split.arrived[:, -1].sum()) for name, split in data.splits.items()},
    }
    users = [set(split.subjects.tolist()) for split in data.splits.values()]
    assert set.union(*users) == {1, 2, 3, 24, 25, 26} and sum(map(len, users)) == 6
    for split in data.splits.values():
        assert split.frames.dtype == torch.uint8 and split.frames.shape == (len(split), 4, 2, 32, 32)
        assert split.labels.dtype == split.subjects.dtype == torch.int64
        assert split.frames.flatten(1).any(1).all() and split.frames.max() == 4
    assert [text.split(" of ")[0] for text in said] == ["encoding 132 recordings"] * 2
    about = json.loads(data.files()["gestures.json"])
    assert about["classes"] == list(CLASSES) and about["shape"] == [4, 2, 32, 32]
    assert Encoding(**about["encoding"]) == data.encoding


@pytest.mark.parametrize(
    "changed", [{}, dict(encoding="blocks", frames=20, frame_ms=None, size=128), dict(denoise_ms=10.0)]
)
def test_what_is_encoded_is_what_tonic_reads(sample, changed):
    test = load_gestures(settings(sample, **changed)).splits["test"]
    dataset = datasets.DVSGesture(save_to=str(sample), train=False)
    encoding = gesture_data.encoding_of(settings(sample, **changed))
    assert test.frames.shape[1:] == encoding.shape
    for row in (0, 50, 131):
        # A subject's recordings in a light come in order of their classes, and lights in that of their names.
        user, light = 24 + row // 44, ("fluorescent", "fluorescent_led", "led", "natural")[row // 11 % 4]
        index = dataset.data.index(str(sample / TEST / f"user{user}_{light}" / f"{row % 11}.npy"))
        events, label = dataset[index]
        assert label == test.labels[row] and user == test.subjects[row]
        assert torch.equal(test.frames[row], torch.from_numpy(encode(events, encoding, "here")))


def test_the_generated_sample_is_written_once(sample, tmp_path, monkeypatch):
    wrote = []

    def small(folder, seed, say):
        wrote.append(seed)
        shutil.copytree(sample, folder, dirs_exist_ok=True)

    monkeypatch.setattr(gesture_data, "write_gesture_sample", small)
    for changed in ({}, {}, dict(frames=2)):
        data = load_gestures(settings("sample", **changed))
        assert data.name == "sample" and len(data.splits["test"]) == 132
    assert wrote == [gesture_data.SEED]
    # What is left of one is no sample.
    shutil.rmtree(next((tmp_path / "cache").rglob("user24_led")).parent)
    load_gestures(settings("sample"))
    assert len(wrote) == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "file"))
    assert "cannot be written" in message(settings("sample"))


def test_dropped_events_are_of_training_only(sample):
    whole, thin = (load_gestures(settings(sample, clip=255, drop=drop)) for drop in (0.0, 0.25))
    again = load_gestures(settings(sample, clip=255, drop=0.25))
    for name in whole.splits:
        totals = [data.splits[name].frames.sum((1, 2, 3, 4), dtype=torch.int64) for data in (whole, thin)]
        kept = torch.round(0.75 * totals[0]) if name == "train" else totals[0]
        assert (totals[1] - kept).abs().max() <= 1
        assert torch.equal(again.splits[name].frames, thin.splits[name].frames)
    # A trained model is tested on all events.
    split, _ = open_split(settings(sample, clip=255, drop=0.25), "train")
    assert torch.equal(split.frames, whole.splits["train"].frames)


def test_one_split_is_that_of_the_whole(sample):
    section = settings(sample, limit=66)
    data = load_gestures(section)
    for name in data.splits:
        split, classes = open_split(section, name)
        assert classes == data.classes
        for field in ("frames", "labels", "subjects"):
            assert torch.equal(getattr(split, field), getattr(data.splits[name], field))
    assert data.splits["test"].labels.bincount().tolist() == [6] * 11
    with pytest.raises(DataError, match="no split 'tset'; expected one of train, validation, test"):
        open_split(section, "tset")


def test_subjects_are_held_out_by_a_seed():
    subjects = torch.arange(10).repeat_interleave(3)
    held = held_out(subjects, 3, 1)
    assert held.sum() == 9 and len(subjects[held].unique()) == 3
    assert torch.equal(held, held_out(subjects, 3, 1)) and not torch.equal(held, held_out(subjects, 3, 2))


# The cache


def test_a_second_start_encodes_nothing(sample, encoded):
    first = load_gestures(settings(sample))
    assert len(encoded) == 264
    start, said = time.process_time(), []
    second = load_gestures(settings(sample), said.append)
    assert time.process_time() - start < 1 and len(encoded) == 264 and said == []
    assert second.files() == first.files()
    for name, split in first.splits.items():
        assert torch.equal(split.frames, second.splits[name].frames)
        assert torch.equal(split.subjects, second.splits[name].subjects)
    load_gestures(settings(sample, validation_subjects=2, split_seed=3))  # another cut of the same
    assert len(encoded) == 264
    for changed in (dict(size=64), dict(clip=1), dict(denoise_ms=5.0), dict(limit=33)):
        before = len(encoded)
        load_gestures(settings(sample, **changed))
        assert len(encoded) > before


def test_a_second_start_needs_no_tonic(sample, monkeypatch):
    load_gestures(settings(sample))
    monkeypatch.setitem(sys.modules, "tonic.datasets", None)
    load_gestures(settings(sample))
    assert "tonic is missing" in message(settings(sample, size=64))


def test_a_damaged_cache_or_another_recording_is_encoded_anew(copy, tmp_path, encoded):
    load_gestures(settings(copy))
    for path in (tmp_path / "cache").rglob("tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    load_gestures(settings(copy))
    assert len(encoded) == 528
    path = copy / TRAIN / "user01_led/0.npy"
    np.save(path, np.array([[1, 2, 1, 0]]))
    os.utime(path, ns=(1, 1))
    load_gestures(settings(copy))
    assert len(encoded) == 660
    np.save(path, np.array([[1, 3, 1, 0]]))
    os.utime(path, ns=(1, 1))  # the same size and date, as a restore may leave them
    load_gestures(settings(copy))
    assert len(encoded) == 792


def test_a_cache_that_cannot_be_written_is_said(sample, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "file"))
    said = []
    load_gestures(settings(sample), said.append)
    assert any("not kept for later runs" in text for text in said)


# Bad input

GOOD = [[1, 2, 1, 0], [3, 4, 0, 1], [5, 6, 1, 1]]


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array(GOOD)[[0, 2, 1, 0]], ", event 4: time goes back from 1 to 0 ms, out of order; expected"),
        (np.array([[1, 2, 1, 5000], [3, 4, 0, 1]]), ", event 2: time goes back from 5000 to 1 ms, as a"),
        (np.array([*GOOD, [128, 0, 1, 2]]), ", event 4: x is 128; expected 0 to 127"),
        (np.array([*GOOD, [0, -1, 1, 2]]), ", event 4: y is -1; expected 0 to 127"),
        (np.array([[1, 2, -1, 0], [3, 4, 1, 1]]), ", event 1: polarity is -1; expected 0, darker, or 1"),
        (np.array([*GOOD, [0, 0, 255, 2.0]]), ", event 4: polarity is 255.0"),
        (np.array([*GOOD, [0, 0, 1, np.nan]]), ", event 4: [0.0, 0.0, 1.0, nan]; expected finite numbers"),
        (np.array([*GOOD, [0.5, 0, 1, 3]]), ", event 4: [0.5, 0.0, 1.0, 3.0]; expected whole pixels"),
        (np.array([*GOOD, [0, 0, 1, 1e17]]), ": times up to 1e+17 ms in float64; in microseconds they"),
        (np.empty((0, 4)), ": an empty recording; expected at least one event"),
        (np.array(GOOD).T, ": an array of shape (4, 3); expected (events, 4)"),
        (np.array(GOOD)[:, 0], ": an array of shape (3,); expected (events, 4)"),
        (np.array([["x", "y", "p", "t"]]), ": holds <U1; expected an array of numbers"),
        (event_list(*GOOD), "; expected an array of numbers"),
        (np.array([*GOOD, [0, 0, 1, 33]], np.int16), ": times up to 33 ms in int16; in microseconds they"),
    ],
)  # fmt: skip
def test_a_bad_recording(copy, array, problem):
    path = copy / TEST / "user25_led/3.npy"
    np.save(path, array)
    found = message(settings(copy))
    assert found.startswith(str(path)) and problem in found


HEAD = b"\x93NUMPY\x01\x00\x10\x00{'descr': '<i4', (\n"


@pytest.mark.parametrize("content", [b"", b"hello", HEAD, None])
def test_a_truncated_file(copy, content):
    path = copy / TRAIN / "user02_natural/0.npy"
    path.write_bytes(path.read_bytes()[:-5] if content is None else content)
    assert f"{path}: not a whole .npy file" in message(settings(copy))


def test_recordings_of_other_types_are_read(copy):
    for kind in (np.float64, np.float32, np.int64, np.uint32):
        np.save(copy / TEST / "user25_led/3.npy", np.array(GOOD, kind))
        row = 44 + 22 + 3
        frames = load_gestures(settings(copy, polarity="merge", size=128)).splits["test"].frames[row]
        assert np.argwhere(frames[0, 0].numpy()).tolist() == [[2, 1], [4, 3], [6, 5]]


def damage(kind, folder):
    """Damages the folder of a sample; returns what the error says of it."""
    train = folder / TRAIN
    users = sorted(train.iterdir())
    if kind == "no split":
        shutil.rmtree(folder / TEST)
        return f"{folder / TEST}: no such folder"
    if kind == "too few":
        for path in users[:3]:
            shutil.rmtree(path)
        return f"{train}: 99 recordings; expected 100 or more"
    if kind == "a subject missing":
        for path in reversed(users[4:]):  # the second of four
            path.rename(train / f"user{int(path.name[4:6]) + 1:02}{path.name[6:]}")
        return f"{train}: no recordings of user02; expected all subjects from user01 to user04"
    if kind == "an empty subject":
        for path in users[0].iterdir():
            path.unlink()
        return f"{users[0]}: no recordings; expected files like 0.npy"
    if kind == "no archive":
        (folder / "DVSGesture/ibmGestureTrain.tar.gz").unlink()
        return "ibmGestureTrain.tar.gz: no such file; without a file of that name tonic downloads"
    if kind == "another class":
        (users[0] / "0.npy").rename(users[0] / "11.npy")
        return f"{users[0] / '11.npy'}: no class '11'; expected 0.npy to 10.npy"
    if kind == "another name":
        users[0].rename(train / "subject1")
        return f"{train / 'subject1'}: expected a folder with a name like user01_fluorescent"
    for path in (folder / TEST).iterdir():
        path.rename(path.parent / f"user{int(path.name[4:6]) - 21:02}{path.name[6:]}")
    return f"{folder}: user03 in train and in test; expected other subjects in each"


@pytest.mark.parametrize(
    "kind",
    [
        *("no split", "too few", "a subject missing", "an empty subject", "no archive"),
        *("another class", "another name", "a subject twice"),
    ],
)
def test_a_folder_from_which_something_is_missing(copy, kind):
    expected = damage(kind, copy)
    assert expected in message(settings(copy))


def test_a_folder_that_is_none(tmp_path):
    assert "no such folder; expected sample, hub or one that holds" in message(settings(tmp_path / "nowhere"))
    assert f"{tmp_path / TRAIN}: no such folder" in message(settings(tmp_path))


def test_the_set_cannot_be_downloaded_without_a_network():
    said = []
    with pytest.raises(DataError, match=r"ibmGestureTrain cannot be downloaded .*no network.*figshare.com"):
        load_gestures(settings("hub"), said.append)
    assert len(said) == 1


def test_the_set_is_downloaded_once(sample, tmp_path, monkeypatch):
    asked = []

    def download(dataset):
        asked.append(dataset.filename)
        shutil.copytree(sample / "DVSGesture", tmp_path / "cache/tonic/DVSGesture", dirs_exist_ok=True)

    monkeypatch.setattr(datasets.DVSGesture, "download", download)
    for _ in range(2):
        assert load_gestures(settings("hub")).name == "hub"
    assert asked == ["ibmGestureTrain.tar.gz"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            dict(validation_subjects=0),
            "data.validation_subjects=0: expected 1 to 2 of the 3 subjects of train",
        ),
        (dict(validation_subjects=3), "data.validation_subjects=3"),
        (dict(limit=0), "data.limit=0: expected a number from 1 up, or null"),
        (dict(drop=1.0), "data.drop=1.0: expected a share of the events, from 0 to below 1"),
        (dict(encoding="image"), "data.encoding='image'"),
    ],
)
def test_bad_settings(sample, changed, problem):
    assert problem in message(settings(sample, **changed))


# Pictures


def test_a_picture_of_events(tmp_path):
    recordings = {"one $": event_list((3, 100, 1, 5), (4, 100, 0, 6)), "two": event_list((1, 1, 0, 130))}
    plot_events(tmp_path / "events.png", recordings)
    assert image.imread(tmp_path / "events.png").shape[1] > 500
