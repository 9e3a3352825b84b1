"""Recordings: events of a camera, and sounds."""

import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikeseq.evaluation.reliability.cases import Target


def of_recordings(folder: Path) -> Iterator[Target]:
    from spikeseq.recipes.gestures.files import read_recording
    from spikeseq.recipes.multimodal.sounds import read_wav

    folder.mkdir(parents=True)
    i = np.arange(300)
    rows_of_events = np.stack([i * 37 % 128, i * 53 % 128, i % 2, i // 5], 1).astype(np.int32)
    np.save(folder / "one.npy", rows_of_events)
    with wave.open(str(folder / "one.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(struct.pack("<800h", *(k * 41 % 9000 for k in range(800))))

    def recording(where: Path) -> Any:
        return [column.tolist() for column in (read_recording(where / "one.npy")[name] for name in "xypt")]

    yield Target("recordings of events", folder, ("one.npy",), recording)
    yield Target(
        "sounds",
        folder,
        ("one.wav",),
        lambda f: [read_wav(f / "one.wav")[1], read_wav(f / "one.wav")[0].tolist()],
    )
    write_spoken(folder)
    yield Target("sounds: parquet", folder, ("fsdd.parquet",), spoken)


def write_spoken(folder: Path) -> None:
    """The layout of the Free Spoken Digit Dataset, short sounds of each digit in both splits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 20
    columns = {
        "audio": [[(k * (41 + i) % 900) / 900 - 0.5 for k in range(600)] for i in range(count)],
        "sampling_rate": [8000] * count,
        "label": [i % 10 for i in range(count)],
        "split": ["train" if i < 10 else "test" for i in range(count)],
    }
    pq.write_table(pa.table(columns), folder / "fsdd.parquet")


def spoken(folder: Path) -> Any:
    from spikeseq.recipes.multimodal.sounds import load_sounds

    found = load_sounds(str(folder), 6)
    return [[split.labels.tolist(), split.activity.double().sum((0, 1)).tolist()] for split in found.values()]
