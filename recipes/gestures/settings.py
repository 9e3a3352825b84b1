"""Settings of the recipe for gestures: what they mean, what they accept, and where they do nothing."""

from dataclasses import dataclass, field
from typing import Any

from spikeseq.recipes.settings import (
    LEAKS,
    WIDEST,
    DataSettings,
    EvaluateSettings,
    Idle,
    LearntNeuronSettings,
    ModelSettings,
    TrainSettings,
    accepted,
    accepts,
    always,
    dotted,
    names_of,
    one_of,
    share,
    whole,
)

SIDE = 128  # pixels of the sensor, as `models.gesture.frames.SIDE`; here without torch


SHIFT = accepted(
    "at least 0",
    lambda value: value >= 0,
    (f"less than the sensor's {SIDE} pixels", lambda value: value < SIDE),
)
WIDTHS = accepted(
    f"one number or more, from 1 to {WIDEST:,}",
    lambda widths: len(widths) > 0 and all(0 < width <= WIDEST for width in widths),
)


@dataclass(kw_only=True)
class GestureSettings(DataSettings):
    """
    encoding: what a recording becomes: "blocks" of one image, or "frames"; --method.
    frames: blocks, or frames, of a recording.
    frame_ms: milliseconds that a frame spans; null where `frame_events` says it.
    frame_events: events that a block or frame spans; null: a block has its share of the recording.
    size: side in pixels: 128, 64 or 32.
    polarity: of frames: "both", as two channels, or "merge".
    denoise_ms: events that have no other beside them within this time before are left out; null for none.
    clip: most events of a pixel and frame that count; 1: the first layer only adds.
    drop: share of the events of training recordings that is left out.
    validation_subjects: subjects held out of those trained on; they choose the epoch.
    sensor_shift: pixels of the sensor that a training recording moves at most.
    """

    encoding: str = field()
    frames: int = field()
    frame_ms: float | None = field()
    frame_events: int | None = field()
    size: int = field()
    polarity: str = field()
    denoise_ms: float | None = field()
    clip: int = field()
    drop: float = share()
    validation_subjects: int = whole()
    sensor_shift: int = field(metadata=SHIFT)


@dataclass(kw_only=True)
class GestureModel(LearntNeuronSettings, ModelSettings):
    """
    method: --method.
    widths: channels of the convolutions, each followed by a pooling.
    kernel: side of their kernels, in pixels.
    pool: side of the squares that a pooling averages, in pixels.
    hidden: neurons of the linear layer, width of the gru.
    dropout: share of the linear layer's neurons silenced.
    norm: of currents: batch, batch-steps, none.
    memory: membranes go on from frame to frame; false: they start anew with every frame.
    leaks: two leaks that the channels of a layer are spread between; empty: one per layer, `leak`.
    """

    method: str = field()
    widths: list[int] = field(metadata=WIDTHS)
    kernel: int = accepts("odd, from 1 to 127", lambda value: value in range(1, SIDE, 2))
    pool: int = whole(1, SIDE)
    hidden: int = whole(1, WIDEST)
    dropout: float = share()
    norm: str = one_of("batch", "batch-steps", "none")
    memory: bool = field()
    leaks: list[float] = field(metadata=LEAKS)


@dataclass(kw_only=True)
class GestureEvaluate(EvaluateSettings):
    """
    energy_recordings: recordings that the energy account runs on.
    """

    energy_recordings: int = whole()


def sections(model: str) -> dict[str, type]:
    return {
        "data": GestureSettings,
        "model": GestureModel,
        "train": TrainSettings,
        "evaluate": GestureEvaluate,
    }


RENAMED = {"data.shift": "data.sensor_shift"}
ADDED: dict[str, Any] = {}
"""Names in run folders of earlier versions, and those of today."""


def blocks(config: Any) -> bool:
    return config.model.method == "blocks"


IDLE = (
    Idle(dotted("train", ("batch_tokens", "embedding_rate")), always, "on recordings, which have no tokens"),
    Idle(
        ("train.spike_penalty", *dotted("model", (*names_of(LearntNeuronSettings), "leaks", "memory"))),
        lambda config: config.model.name != "snn",
        "on {model.name}, which has no spikes",
    ),
    Idle(("model.dropout",), lambda config: config.model.name == "gru", "on gru, which has no linear layer"),
    Idle(("model.memory",), blocks, "with --method blocks, which are one image"),
    Idle(("data.polarity", "data.clip"), blocks, "with --method blocks, which are binary images"),
    Idle(
        ("model.leak",),
        lambda config: len(config.model.leaks) > 0,
        "with model.leaks={model.leaks}; for one leak per layer, model.leaks=[]",
    ),
    Idle(
        ("data.sensor_shift",),
        lambda config: 0 < config.data.sensor_shift * config.data.size < SIDE,
        "below one pixel of the images, whose data.size is {data.size}",
    ),
)
