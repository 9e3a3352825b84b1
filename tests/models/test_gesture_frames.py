import numpy as np
import pytest
from gesture_case import event_list

from spikeseq.models.gesture.frames import Encoding, FrameStream, denoise

FEW = event_list((0, 0, 1, 5), (1, 0, 0, 6), (0, 0, 1, 6), (127, 3, 1, 14), (4, 4, 0, 15), (9, 0, 1, 36))


def by_time(**changed):
    return Encoding("frames", **(dict(frames=4, frame_ms=10.0) | changed))


def test_denoising_by_hand():
    # Alone; its neighbour 3 ms later; one 9 ms later; diagonal; the same pixel again.
    events = event_list((50, 50, 1, 20), (51, 50, 0, 23), (52, 50, 1, 32), (53, 51, 1, 33), (53, 51, 1, 34))
    never = np.zeros((128, 128), np.int64)
    assert denoise(events, 5, never.copy()).tolist() == events[[1]].tolist()
    assert denoise(events, 10, never.copy()).tolist() == events[[1, 2]].tolist()
    assert len(denoise(events[:0], 5, never)) == 0


def test_a_frame_comes_as_soon_as_it_is_complete():
    stream = FrameStream(by_time())
    assert [len(stream.push(FEW[i : i + 1])) for i in range(6)] == [0, 0, 0, 0, 1, 2]
    assert len(stream.flush()) == 1
    stream = FrameStream(by_time(frame_ms=None, frame_events=2))
    assert [len(stream.push(FEW[i : i + 1])) for i in range(6)] == [0, 1, 0, 1, 0, 1]
    assert len(stream.flush()) == 0
    assert FrameStream(by_time()).push(FEW[:0]).shape == (0, 2, 128, 128)


def test_a_stream_without_an_end_has_no_share_of_the_whole():
    with pytest.raises(ValueError, match="frame_events=None"):
        FrameStream(Encoding("blocks"))


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ((3, 3, 1, 4.9), "the stream, event 1: time goes back from 5 to 4.9 ms, out of order"),
        ((128, 3, 1, 6), "the stream, event 1: x is 128; expected 0 to 127"),
        ((3, -1, 1, 6), "the stream, event 1: y is -1"),
        ((3, 3, 1, 200_000), "the stream: 19999 frames at once; expected at most 10000"),
    ],
)
def test_a_stream_of_bad_events(second, problem):
    stream = FrameStream(by_time())
    stream.push(event_list((3, 3, 1, 5)))
    with pytest.raises(ValueError, match=problem):
        stream.push(event_list(second))


@pytest.mark.parametrize(
    "events", [[(3, 3, 1, 5)], np.zeros((2, 4), int), event_list((3, 3, 1, 5)).reshape(1, 1),
               np.zeros(2, [(name, float) for name in "xypt"])],
)  # fmt: skip
def test_what_are_no_events(events):
    with pytest.raises(TypeError, match="the stream: events must be"):
        FrameStream(by_time()).push(events)


def test_when_frames_are_complete():
    stream = FrameStream(by_time())  # windows from 5 to 15, 25, 35 ms
    stream.push(FEW[:4])
    assert stream.ends == []
    stream.push(FEW[4:])
    assert stream.ends == [(4, 10.0), (5, 20.0), (5, 30.0)]
    stream.push(FEW[:0])
    assert stream.ends == []
    stream = FrameStream(by_time(frame_ms=None, frame_events=2))
    stream.push(FEW[:5])
    assert stream.ends == [(2, 1.0), (4, 9.0)]
    stream.push(FEW[5:])
    assert stream.ends == [(6, 31.0)]


@pytest.mark.parametrize("denoise_ms", [None, 10.0])
@pytest.mark.parametrize(
    "refused",
    [
        event_list((4, 3, 1, 10**9), (3, 3, 1, 10**9)),  # case 4.6: more frames at once than are taken
        event_list((4, 3, 1, 7), (4, 3, 1, 10**9), (3, 3, 1, 10**9)),
        event_list((4, 3, 1, 7), (3, 3, 1, 6)),
        event_list((4, 3, 1, 7), (128, 3, 1, 8)),
        np.zeros((2, 4)),
    ],
)
def test_a_refused_push_changes_nothing(refused, denoise_ms):
    events = event_list((3, 3, 1, 5), (4, 3, 1, 6), (4, 3, 1, 17), (5, 3, 0, 18), (6, 3, 0, 29))
    stream, other = (FrameStream(by_time(denoise_ms=denoise_ms)) for _ in range(2))
    for part in (events[:2], events[2:4], events[4:]):
        assert (stream.push(part) == other.push(part)).all() and stream.ends == other.ends
        with pytest.raises((TypeError, ValueError), match="the stream"):
            stream.push(refused)
        assert stream.ends == other.ends
    assert (stream.flush() == other.flush()).all()
