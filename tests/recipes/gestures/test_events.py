import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.recipes.gestures.events import EVENT, Camera, Pixels, background, record
from spikeseq.recipes.gestures.sample import CLASSES, make_recording, make_scene
from spikeseq.recipes.gestures.scene import BACKWARDS, LIGHTS, SIDE, Subject, joints


def camera(rising=0.3, falling=0.3, rest=0.0, noise=0.0, shape=(1, 1)):
    return Camera(np.full(shape, rising), np.full(shape, falling), rest, np.full(shape, noise))


def events(levels, step_ms, **options):
    """(time, polarity) of the events of one pixel that sees these levels."""
    pixels = Pixels(np.array(levels[:1]), camera(**options))
    found = [pixels.step(np.array([level]), step_ms) for level in levels[1:]]
    return [(when, up) for _, ups, times in found for when, up in zip(times, ups, strict=True)]


def about(*expected):
    return [(pytest.approx(when), up) for when, up in expected]


# Pixels


def test_a_ramp_crosses_the_threshold_at_equal_intervals():
    assert events([0, 1], 10) == about((3, True), (6, True), (9, True))
    assert events([0, -1], 10) == about((3, False), (6, False), (9, False))
    assert events([0, 0.25, 0.5, 0.75, 1], 2.5) == about((3, True), (6, True), (9, True))


def test_thresholds_of_their_own_for_brighter_and_darker():
    found = events([0, 1, 0], 10, rising=0.4, falling=0.3)
    # The last event upwards is at 0.8, so that downwards they are at 0.5 and 0.2.
    assert found == about((4, True), (8, True), (15, False), (18, False))


def test_a_pixel_at_rest_forgets_what_it_sees():
    # 0.3 at 3 ms; at 4 ms the rest ends and it sees 0.4; 0.7 at 7 ms; then from 0.8 the next would be at 1.1.
    for levels in ([0, 1], [0, 0.25, 0.5, 0.75, 1], list(np.arange(11) / 10)):
        assert events(levels, 10 / (len(levels) - 1), rest=1.0) == about((3, True), (7, True))
    # It rests over the turn, from 9 to 11 ms, and compares with 0.9 from then on.
    assert events([0, 1, 0], 10, rising=0.9, falling=0.5, rest=2.0) == about((9, True), (16, False))


def test_small_changes_add_up_and_none_are_no_events():
    assert events([0, 0.2, 0.1, 0.29, 0.1, -0.29, 0], 1) == []
    assert events([0.0] * 5, 1, rest=1.0) == []
    assert events([0, 0.2, 0.2, 0.4], 1) == about((2.5, True))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-20, 20), min_size=2, max_size=6),
    st.integers(2, 5),
    st.sampled_from([0.0, 0.3, 1.0, 7.0]),
)
def test_the_length_of_steps_does_not_matter(tenths, parts, rest):
    """Brightness is linear within a step, so that a step may be cut."""
    # Irrational thresholds do not add up to tenths, where rounding would decide.
    options = dict(rest=rest, rising=np.pi / 10, falling=np.sqrt(2) / 5)
    levels = np.array(tenths) / 10
    at = np.arange((len(levels) - 1) * parts + 1) / parts
    finer = np.interp(at, np.arange(len(levels)), levels)
    expected = [(pytest.approx(when), up) for when, up in events(levels, 4.0, **options)]
    assert events(finer, 4.0 / parts, **options) == expected


def test_a_recording_is_in_order_and_says_where():
    frames = np.zeros((3, 2, 3))
    frames[1:, 0, 2] = 1
    frames[2, 1, 0] = -1
    found = record(iter(frames), 10, camera(shape=(2, 3), rising=0.4, falling=0.4), np.random.default_rng(0))
    assert found.dtype == EVENT and (np.diff(found["t"]) >= 0).all()
    places = {(int(one["x"]), int(one["y"]), bool(one["p"])) for one in found}
    assert places == {(2, 0, True), (0, 1, False)}
    assert set(found["t"][found["p"]] // 10_000) == {0} and set(found["t"][~found["p"]] // 10_000) == {1}


def test_noise_and_hot_pixels_have_their_rates():
    noise = np.full((20, 20), 1.0)
    noise[3, 4] = 100
    pixels, times = background(Camera(noise, noise, 1.0, noise), 10_000, np.random.default_rng(0))
    counts = np.bincount(pixels, minlength=400)
    assert counts.argmax() == 64 and 900 < counts[64] < 1100
    assert 9 < np.delete(counts, 64).mean() < 11
    assert times.min() >= 0 and times.max() <= 10_000


def test_no_pixel_sends_within_its_rest():
    cam = Camera(np.full((8, 8), 0.1), np.full((8, 8), 0.1), 2.0, np.full((8, 8), 100.0))
    frames = np.random.default_rng(1).normal(0, 0.5, (50, 8, 8))
    found = record(iter(frames), 4.0, cam, np.random.default_rng(2))
    assert len(found) > 1000
    for pixel in range(64):
        times = found["t"][found["y"] * 8 + found["x"] == pixel]
        assert (np.diff(times) >= 1999).all()  # times are cut to whole µs


def test_thresholds_differ_between_pixels_but_not_between_polarities():
    drawn = Camera.draw(np.random.default_rng(0))
    assert drawn.rising.std() > 0.01 and drawn.rising.min() > 0
    assert drawn.rising.mean() == pytest.approx(drawn.falling.mean(), abs=1e-3)
    assert (drawn.noise > 10).sum() == 5


# Scenes and recordings


def test_rotations_differ_in_time_only():
    for counter, clockwise in BACKWARDS.items():
        assert (CLASSES[counter], CLASSES[clockwise]) in (
            ("Right arm ccw", "Right arm cw"), ("Left arm ccw", "Left arm cw")
        )  # fmt: skip
        there = list(make_scene(1, 5, "lab", clockwise, 0.1))
        back = list(make_scene(1, 5, "lab", counter, 0.1))
        assert len(there) == 26 and not np.array_equal(there[0], there[-1])
        assert all(np.array_equal(*pair) for pair in zip(there, reversed(back), strict=True))


@pytest.mark.parametrize(("label", "arm", "sense"), [(3, 0, 1), (4, 0, -1), (5, 1, 1), (6, 1, -1)])
def test_rotations_go_the_way_that_their_names_say(label, arm, sense):
    """As the camera sees it, where y points down and so clockwise is from x to y."""
    for user in range(3):
        subject = Subject.draw(np.random.default_rng(user))
        hand = joints(subject, label, np.random.default_rng(user), 2.0)[:, arm, 2]
        x, y = (hand - hand.mean(0)).T
        turn = np.diff(np.unwrap(np.arctan2(y, x)))
        assert 1.5 < abs(turn.sum()) / (2 * np.pi) < 6 and np.sign(turn.sum()) == sense
        # A right hand is on the left of the picture.
        assert (hand[:, 0].mean() < subject.centre[0]) == (arm == 0)


def test_without_time_a_rotation_has_no_sense():
    """All events of a recording in one frame are as like those of its counterpart as with other noise."""

    def frame(label, rng):
        found = record(make_scene(1, 2, "led", label), 4.0, Camera.draw(np.random.default_rng(0)), rng)
        counts = np.zeros((SIDE, SIDE))
        np.add.at(counts, (found["y"], found["x"]), 1)
        return np.minimum(counts, 20).ravel()

    one, other, counter = (frame(label, np.random.default_rng(i)) for i, label in enumerate((3, 3, 4)))
    assert np.corrcoef(one, counter)[0, 1] > np.corrcoef(one, other)[0, 1] - 0.03 > 0.9


def test_recordings_are_fast_full_and_the_same_for_a_seed():
    make_recording(1, 1, "lab", 0, 0.1)
    found, seconds = {}, []
    for label in range(len(CLASSES)):
        start = time.process_time()
        found[label] = make_recording(1, 3, "natural", label)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.4  # the least disturbed: who else computes slows the others down
    for events_of in found.values():
        assert 3_000 < len(events_of) < 100_000
        assert events_of["t"][0] < 20_000 and 1_150_000 < events_of["t"][-1] <= 1_200_000
        assert 0.3 < events_of["p"].mean() < 0.7
    assert np.array_equal(make_recording(1, 3, "natural", 4), found[4])
    others = [
        make_recording(2, 3, "natural", 4),
        make_recording(1, 4, "natural", 4),
        make_recording(1, 3, "led", 4),
    ]
    assert all(not np.array_equal(other, found[4]) for other in others)


def test_subjects_and_lights_differ():
    drawn = [Subject.draw(np.random.default_rng([1, 2, user])) for user in range(1, 29)]
    assert len({(subject.arm, subject.rate, subject.limb) for subject in drawn}) == 28
    assert 0.2 < np.mean([subject.skin > subject.ground for subject in drawn]) < 0.8
    assert len(set(LIGHTS.values())) == len(LIGHTS) == 5


def test_arms_have_their_lengths():
    """Seen from the front an arm is stretched or bent, but its parts keep their lengths."""
    subject = Subject.draw(np.random.default_rng(1))
    for label in range(len(CLASSES)):
        shoulder, elbow, hand = np.moveaxis(joints(subject, label, np.random.default_rng(2), 1.0), 2, 0)
        upper, fore = np.linalg.norm(elbow - shoulder, axis=-1), np.linalg.norm(hand - elbow, axis=-1)
        assert upper == pytest.approx(subject.upper * subject.arm)
        assert fore == pytest.approx((1 - subject.upper) * subject.arm)
