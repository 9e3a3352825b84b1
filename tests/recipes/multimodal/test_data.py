"""Pairs of images and sounds, sounds in files, and noise."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.io import wavfile

from spikeseq.recipes.config import load_config
from spikeseq.recipes.multimodal.data import load_pairs, paired
from spikeseq.recipes.multimodal.noise import noisy
from spikeseq.recipes.multimodal.sounds import load_sounds, read_wav
from spikeseq.recipes.multimodal.voice import RATE, speak
from spikeseq.recipes.shared.errors import DataError

pytestmark = pytest.mark.usefixtures("cache")


def voices(count=4):
    rng = np.random.default_rng(0)
    return [(speak(row % 2, rng) * 3e4).astype(np.int16) for row in range(count)]


def write_fsdd(path, sounds=None, **changes):
    sounds = voices() if sounds is None else sounds
    count = len(sounds)
    columns = {
        "audio": pa.array([list(map(int, sound)) for sound in sounds], pa.list_(pa.int16())),
        "sampling_rate": [RATE] * count,
        "label": [row % 2 for row in range(count)],
        "split": ["train", "train", "test", "test"][:count],
    }
    columns |= changes
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)


def test_sounds_of_a_parquet_file_are_those_of_wav_files(tmp_path):
    (tmp_path / "fsdd").mkdir()
    write_fsdd(tmp_path / "fsdd" / "fsdd.parquet")
    (tmp_path / "wav" / "recordings").mkdir(parents=True)
    for row, sound in enumerate(voices()):
        index = 7 if row < 2 else 0
        wavfile.write(tmp_path / "wav" / "recordings" / f"{row % 2}_anna_{index}.wav", RATE, sound)
    packed, files = load_sounds(str(tmp_path), 8), load_sounds(str(tmp_path / "wav"), 8)
    for role in ("train", "test"):
        assert packed[role].activity.shape == (2, 8, 64) and packed[role].labels.tolist() == [0, 1]
        assert torch.equal(packed[role].activity, files[role].activity)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "no column 'label'"),
        ({"label": [0, 1, 0, 11]}, "row 4: the label is 11; expected 0 to 9"),
        ({"split": ["train", "train", "test", "dev"]}, "row 4: the split is 'dev'"),
        ({"split": ["train"] * 4}, "no recordings to test on"),
        ({"sampling_rate": [RATE, None, RATE, RATE]}, "column 'sampling_rate' lacks 1 values"),
        ({"sounds": [*voices()[:3], np.zeros(4000, np.int16)]}, "row 4: silent"),
        ({"sounds": [np.zeros(0, np.int16), *voices()[1:]]}, "row 1: 0 samples"),
    ],
)
def test_parquet_files_that_are_refused(tmp_path, changes, message):
    write_fsdd(tmp_path / "fsdd.parquet", **changes)
    with pytest.raises(DataError, match=message):
        load_sounds(str(tmp_path), 8)


def test_sounds_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no spoken digits; expected fsdd\.parquet or recordings"):
        load_sounds(str(tmp_path), 8)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "hello.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"a name that says no digit; expected one such as 7_jackson_32\.wav"):
        load_sounds(str(tmp_path), 8)


def test_wav_files(tmp_path):
    sound = voices(1)[0]
    wavfile.write(tmp_path / "two.wav", 16000, np.stack([sound, sound], 1))
    samples, rate = read_wav(tmp_path / "two.wav")
    assert rate == 16000 and np.array_equal(samples, sound)
    wavfile.write(tmp_path / "bytes.wav", RATE, (sound // 256 + 128).astype(np.uint8))
    assert np.array_equal(read_wav(tmp_path / "bytes.wav")[0], sound // 256)
    (tmp_path / "bad.wav").write_bytes(b"RIFF, but no more")
    with pytest.raises(DataError, match=r"bad.wav: not a readable sound \(.*\); expected a wav file"):
        read_wav(tmp_path / "bad.wav")
    with pytest.raises(DataError, match=r"none\.wav: cannot be read"):
        read_wav(tmp_path / "none.wav")


def test_fewer_sounds_are_repeated_evenly_and_more_are_left_out():
    images, sounds = torch.arange(2).repeat(20), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    rows = paired(images, sounds, 3)
    assert torch.equal(sounds[rows], images) and torch.equal(rows, paired(images, sounds, 3))
    assert not torch.equal(rows, paired(images, sounds, 4))
    times = rows.bincount(minlength=7).tolist()
    assert [times[k] for k in (0, 3, 5, 6)] == [5] * 4 and sorted(times[k] for k in (1, 2, 4)) == [6, 7, 7]
    assert len(paired(images[:2], sounds, 3)) == 2
    with pytest.raises(DataError, match="there are images of 2, but no sounds"):
        paired(torch.tensor([0, 2]), sounds, 3)


def settings(**changes):
    config = load_config("digits-multimodal", overrides=["data.limit=60"]).data
    for name, value in changes.items():
        config[name] = value
    return config


def test_the_sample_has_pairs_of_the_same_digit():
    data = load_pairs(settings(), 8)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 50,
        "validation": 10,
        "test": 60,
    }
    for split in data.splits.values():
        assert torch.equal(split.sounds.labels[split.sound_of], split.labels)
    assert data.facts()["sounds"] == {"train": 270, "validation": 30, "test": 100}


def test_images_of_another_size_are_refused(tmp_path):
    from PIL import Image

    for role in ("train", "test"):
        for digit in "01":
            for row in range(3):
                path = tmp_path / "mnist" / role / digit / f"{row}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (20, 20), 40 * row).save(path)
    write_fsdd(tmp_path / "fsdd.parquet")
    with pytest.raises(DataError, match="images of 20 x 20; expected 28 x 28 in grey"):
        load_pairs(settings(source=str(tmp_path), limit=None), 8)
    with pytest.raises(DataError, match="no hub has both"):
        load_pairs(settings(source="hub"), 8)


def test_noise():
    pixels = torch.full((40, 1, 28, 28), 200, dtype=torch.uint8)
    assert noisy(pixels, "none", 85, 1) is pixels
    white, grey = (noisy(pixels, kind, 10, 1).float() for kind in ("white", "contrast"))
    assert white.mean() == pytest.approx(200, abs=0.5) and white.std() == pytest.approx(10, abs=0.3)
    assert grey.mean() == pytest.approx(100, abs=0.5) and grey.std() == pytest.approx(10, abs=0.3)
    assert torch.equal(white, noisy(pixels, "white", 10, 1).float())
    assert not torch.equal(white[0], white[1])
