import numpy as np
import pytest
import torch
from gesture_case import event_list, random_events, settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from spikeseq.models.gesture.frames import Encoding, FrameStream, denoise
from spikeseq.recipes.gestures.frames import arrived, encode, encoding_of, shifted
from spikeseq.recipes.shared.errors import DataError

transforms = pytest.importorskip("tonic.transforms")

FEW = event_list((0, 0, 1, 5), (1, 0, 0, 6), (0, 0, 1, 6), (127, 3, 1, 14), (4, 4, 0, 15), (9, 0, 1, 36))


def nonzero(frames):
    """{place: count} of all places that are not 0."""
    return {tuple(place): int(frames[tuple(place)]) for place in np.argwhere(frames).tolist()}


def by_time(**changed):
    return Encoding("frames", **(dict(frames=4, frame_ms=10.0) | changed))


# By hand


def test_blocks_of_equal_numbers_of_events():
    frames = encode(FEW, Encoding("blocks", frames=3), "here")
    assert frames.dtype == np.uint8 and frames.shape == (3, 128, 128)
    # Two events each; rows are y.
    assert nonzero(frames) == {
        (0, 0, 0): 1,
        (0, 0, 1): 1,
        (1, 0, 0): 1,
        (1, 3, 127): 1,
        (2, 4, 4): 1,
        (2, 0, 9): 1,
    }
    two = encode(FEW, Encoding("blocks", frames=2, size=64), "here")
    # Presence, not counts: three events fall on one of the smaller pixels.
    assert nonzero(two) == {(0, 0, 0): 1, (1, 1, 63): 1, (1, 2, 2): 1, (1, 0, 4): 1}


def test_blocks_of_a_given_number_of_events():
    frames = encode(FEW, Encoding("blocks", frames=2, frame_events=1), "here")
    assert nonzero(frames) == {(0, 0, 0): 1, (1, 0, 1): 1}


def test_frames_by_time_begin_with_the_first_event():
    frames = encode(FEW, by_time(), "here")
    assert frames.shape == (4, 2, 128, 128)
    # From 5 to 15 ms, to 25 (the event at 15 ms is in it), to 35 (nothing), to 45.
    assert nonzero(frames) == {
        (0, 1, 0, 0): 2, (0, 0, 0, 1): 1, (0, 1, 3, 127): 1, (1, 0, 4, 4): 1, (3, 1, 0, 9): 1
    }  # fmt: skip
    assert nonzero(encode(FEW, by_time(frames=1), "here")) == nonzero(frames[:1])
    longer = encode(FEW, by_time(frames=6), "here")
    assert np.array_equal(longer[:4], frames) and not longer[4:].any()


def test_frames_by_count_leave_out_one_that_is_not_complete():
    frames = encode(FEW, Encoding("frames", frames=3, frame_events=4), "here")
    assert nonzero(frames) == {(0, 1, 0, 0): 2, (0, 0, 0, 1): 1, (0, 1, 3, 127): 1}


def test_polarities_merged_and_counts_clipped():
    merged = encode(FEW, by_time(polarity="merge", size=32), "here")
    assert merged.shape == (4, 1, 32, 32) and nonzero(merged)[(0, 0, 0, 0)] == 3
    assert nonzero(encode(FEW, by_time(polarity="merge", size=32, clip=2), "here"))[(0, 0, 0, 0)] == 2


def test_a_recording_with_too_few_events():
    for encoding, least in (
        (Encoding("blocks", frames=7), 7),
        (Encoding("blocks", frames=2, frame_events=4), 8),
        (Encoding("frames", frames=2, frame_events=7), 7),
    ):
        with pytest.raises(DataError, match=f"here: 6 events to encode; expected {least} or more"):
            encode(FEW, encoding, "here")


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.sampled_from([1.0, 5.0, 40.0]))
def test_denoising_is_that_of_tonic(seed, side, within):
    rng = np.random.default_rng(seed)
    events = random_events(rng, 200, side)
    expected = transforms.Denoise(filter_time=1000 * within)(events).tolist()
    for cuts in (0, 5):
        last = np.zeros((128, 128), np.int64)
        parts = np.split(events, np.sort(rng.integers(0, 200, cuts)))
        assert np.concatenate([denoise(part, within, last) for part in parts]).tolist() == expected


# As events arrive

ENCODINGS = [
    by_time(), by_time(size=32, polarity="merge"), by_time(frame_ms=0.5, clip=1), by_time(denoise_ms=30.0),
    by_time(frame_ms=None, frame_events=7), by_time(frame_ms=None, frame_events=1, size=64),
    by_time(frame_ms=None, frame_events=10, denoise_ms=20.0), Encoding("blocks", frame_events=9, size=64),
]  # fmt: skip


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(ENCODINGS), st.integers(0, 40))
def test_chunks_give_the_frames_of_the_whole(seed, encoding, cuts):
    rng = np.random.default_rng(seed)
    events = random_events(rng, 150, 12)
    stream = FrameStream(encoding)
    chunks = np.split(events, np.sort(rng.integers(0, 151, cuts)))
    given_out = [stream.push(chunk) for chunk in chunks]
    given_out += [stream.flush()] if encoding.frame_ms else []
    frames = np.concatenate(given_out)
    assert frames.dtype == np.uint8 and len(frames) > 2
    most = Encoding(**(vars(encoding) | {"frames": len(frames)}))
    assert np.array_equal(frames.reshape(most.shape), encode(events, most, "here"))
    if encoding.encoding == "frames":
        ends = [end for end, _ in stream_ends(encoding, chunks)]
        assert ends == arrived(events, most)[: len(ends)].tolist()


def stream_ends(encoding, chunks):
    stream, ends = FrameStream(encoding), []
    for chunk in chunks:
        stream.push(chunk)
        ends += stream.ends
    return ends


# Settings


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (dict(encoding="block"), "data.encoding='block': expected one of blocks, frames"),
        (dict(polarity="on"), "data.polarity='on': expected one of both, merge"),
        (dict(size=100), "data.size=100: expected one of 128, 64, 32"),
        (dict(frames=0), "data.frames=0: expected a number from 1 to 10000"),
        (dict(frames=None), "data.frames=None"),
        (dict(clip=256), "data.clip=256: expected a number from 1 to 255"),
        (dict(frame_ms=None, frame_events=2.5), "data.frame_events=2.5"),
        (dict(frame_ms=-1), "data.frame_ms=-1: expected 0.001 to 1e+09 milliseconds, or null"),
        (dict(frame_ms=1e300), "data.frame_ms=1e+300: expected 0.001 to 1e+09 milliseconds, or null"),
        (dict(denoise_ms=0), "data.denoise_ms=0"),
        (dict(frame_ms=None), "data.frame_ms=None and frame_events=None: expected one of them"),
        (dict(frame_events=5), "data.frame_ms=10.0 and frame_events=5: expected one of them"),
        (dict(encoding="blocks"), "data.frame_ms=10.0: blocks are of events; expected null"),
    ],
)
def test_bad_settings(changed, problem):
    with pytest.raises(DataError) as caught:
        encoding_of(settings("sample", **(dict(frame_ms=10.0) | changed)))
    assert problem in str(caught.value)


# Augmentation


def test_shifting():
    frames = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3).expand(4, 2, 3, 3)
    moved = shifted(frames, torch.tensor([0, 1, -1, 3]), torch.tensor([0, 0, 2, 0]))
    assert torch.equal(moved[0], frames[0])
    assert moved[1, 1].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert moved[2, 0].tolist() == [[0, 0, 4], [0, 0, 7], [0, 0, 0]]
    assert not moved[3].any()


@pytest.mark.parametrize(
    "encoding",
    [
        by_time(frame_ms=50.0, frames=2),
        by_time(frame_ms=50.0, frames=2, clip=255),
        by_time(frame_ms=50.0, frames=2, polarity="merge", size=32),
        by_time(frame_ms=None, frame_events=70_000, frames=1),
        Encoding("blocks", frames=1),
    ],
)
@pytest.mark.parametrize("count", [127, 255, 256, 32_768, 40_000, 65_536, 70_000])
def test_a_hot_pixel_is_clipped_however_hot(encoding, count):  # case 4.9
    events = np.concatenate([event_list((3, 5, 1, 0)), np.repeat(event_list((9, 9, 1, 1)), count)])
    events = np.concatenate([events, np.repeat(event_list((40, 40, 0, 2)), max(0, 70_000 - len(events)))])
    events = np.concatenate([events, event_list((3, 5, 1, 60))])
    frames = encode(events, encoding, "here")
    shrink = 128 // encoding.size
    pixel = frames.reshape(encoding.frames, -1, encoding.size, encoding.size)[0, -1, 9 // shrink, 9 // shrink]
    assert pixel == min(count + 1 if shrink > 3 else count, encoding.most)
    if encoding.encoding == "frames" and encoding.frame_ms:
        assert (
            FrameStream(encoding).push(np.concatenate([events, event_list((3, 5, 1, 60))]))[0] == frames[0]
        ).all()
