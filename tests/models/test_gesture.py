"""Gesture networks and live use: streamed = whole, memory and its absence, bad input."""

import numpy as np
import pytest
import torch
from gesture_case import random_events
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from spikeseq.models.gesture import (
    Decision,
    Encoding,
    FrameStream,
    GestureStream,
    build_gesture_network,
    latency,
)

CLASSES = ["wave", "clap", "roll"]
SMALL = dict(classes=3, channels=2, size=32, widths=(4, 8), hidden=16)
BY_TIME = Encoding("frames", frames=9, frame_ms=15.0, size=32)


def network(name, **changed):
    """In evaluation mode, with statistics of a few frames, so that neurons fire."""
    torch.manual_seed(0)
    if name == "spread":
        name, changed = "snn", {"leaks": (0.3, 0.95), **changed}
    model = build_gesture_network(name, **(SMALL | changed))
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randint(0, 3, (4, 2, model_channels(model), 32, 32)).float())
    return model.eval()


def model_channels(model):
    return getattr(model.network, "network", model.network).channels


def frames(length=7, batch=3, seed=1, channels=2):
    return torch.randint(0, 3, (length, batch, channels, 32, 32), generator=torch.manual_seed(seed)).float()


@pytest.mark.parametrize("name", ["snn", "ann", "gru", "spread"])
@pytest.mark.parametrize("cuts", [[1] * 7, [2, 5], [4, 2, 1]])
def test_frame_by_frame_is_the_whole(name, cuts):
    model, x, state, parts = network(name), frames(), None, []
    with torch.no_grad():
        whole = model(x)
        for part in x.split(cuts):
            scores, state = model.advance(part, state)
            parts.append(scores)
    assert whole.shape == (7, 3, 3)
    torch.testing.assert_close(torch.cat(parts), whole)


@pytest.mark.parametrize("name", ["snn", "ann", "gru"])
def test_later_frames_change_no_earlier_score(name):
    model, x = network(name), frames()
    changed = x.clone()
    changed[4:] = frames(3, seed=2)
    with torch.no_grad():
        assert torch.equal(model(x)[:4], model(changed)[:4])
        assert not torch.equal(model(x)[4], model(changed)[4])


@torch.no_grad()
def test_what_is_remembered():
    """The vote on a frame depends on the frames before only where membranes persist."""
    x, other = frames(2), frames(2)
    other[0] = frames(1, seed=2)[0]
    for options, remembers in ((dict(), True), (dict(memory=False), False)):
        model = network("snn", **options)
        votes, _ = model.votes(x)
        assert torch.equal(votes[1], model.votes(other)[0][1]) is not remembers
        # Scores are means of votes.
        torch.testing.assert_close(model(x)[1], votes.mean(0))
    ann = network("ann")
    assert torch.equal(ann.votes(x)[0][1], ann.votes(other)[0][1])


@torch.no_grad()
def test_a_frame_is_shown_for_all_substeps():
    model, x = network("snn", substeps=4), frames(1)
    torch.testing.assert_close(model(x)[0], model.network(x[0]))
    assert model.network.substeps == 4


def test_leaks_are_spread_between_two():
    model = build_gesture_network("snn", leaks=(0.5, 0.98), **SMALL)
    leaks = [activation.neurons[0].leak for _, activation in model.network.activations()]
    layers = [leak.detach() for leak in leaks]
    assert [len(leak) for leak in layers] == [4, 8, 16]
    for leak in layers:
        assert leak[0] == 0.5 and leak[-1] == pytest.approx(0.98) and (leak.diff() > 0).all()
    # Lengths of memory, in sub-steps, are as many times each other.
    lengths = 1 / (1 - layers[0].double())
    assert (lengths[1:] / lengths[:-1]).tolist() == pytest.approx([25 ** (1 / 3)] * 3, rel=1e-4)
    model(frames()).sum().backward()
    assert all(leak.grad is not None for leak in leaks)


@pytest.mark.parametrize("name", ["snn", "gru"])
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(0)
    model = build_gesture_network(name, dropout=0.1, **SMALL)
    model(frames()).square().sum().backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, path


def test_the_thesis_has_two_convolutions_and_two_poolings():
    model = build_gesture_network("snn", channels=20, size=128)
    kinds = [type(module).__name__ for module in model.modules()]
    assert kinds.count("Conv2d") == kinds.count("AvgPool2d") == 2 and kinds.count("SpikingActivation") == 3


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (dict(name="lstm"), "name must be one of snn, ann, gru, got 'lstm'"),
        (dict(classes=0), "classes must be at least 1, got 0"),
        (dict(widths=()), "widths must name the channels"),
        (dict(size=2), "size must be at least 4"),
        (dict(name="ann", leak=0.5), "leak go with 'snn', not with 'ann'"),
        (dict(norm="layer"), "norm must be one of"),
        (dict(kernel=4), "kernel must be odd, got 4"),
        (dict(pool=0), "pool must be at least 1, got 0"),
        (
            dict(leaks=(0.9, 0.5)),
            r"leaks must be two numbers in \[0, 1\), the smaller first, got \(0.9, 0.5\)",
        ),
        (
            dict(leaks=("a", "b")),
            r"leaks must be two numbers in \[0, 1\), the smaller first, got \('a', 'b'\)",
        ),
        (dict(name="gru", leaks=(0.5, 0.9)), "leaks go with 'snn', not with 'gru'"),
        (dict(substeps=0), "substeps must be at least 1"),
    ],
)
def test_bad_arguments(changed, problem):
    with pytest.raises(ValueError, match=problem):
        build_gesture_network(**(SMALL | dict(name="snn") | changed))


def test_bad_frames():
    with pytest.raises(ValueError, match=r"frames must be \(L, B, C, height, width\) and not"):
        network("snn")(frames()[0])
    with pytest.raises(ValueError, match=r"images must be \(N, 2, 32, 32\)"):
        network("ann")(frames(channels=1))


# Live


def events_of(seed, count=400):
    return random_events(np.random.default_rng(seed), count)


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["snn", "gru"]), st.integers(0, 12))
def test_events_in_any_chunks_give_the_decisions_of_the_whole(seed, name, cuts):
    events, model = events_of(seed), network(name)
    chunks = np.split(events, np.sort(np.random.default_rng(seed).integers(0, 401, cuts)))
    live = GestureStream(model, BY_TIME, CLASSES)
    decisions = [decision for chunk in chunks for decision in live.push(chunk)]
    stream = FrameStream(BY_TIME)
    whole = torch.from_numpy(stream.push(events)).float().unsqueeze(1)
    with torch.no_grad():
        shares = model(whole)[:, 0].softmax(1)
    assert len(decisions) == len(whole) > 5
    found = torch.tensor([list(decision.scores.values()) for decision in decisions])
    torch.testing.assert_close(found, shares)
    assert [(one.events, one.ms) for one in decisions] == stream.ends
    for decision in decisions:
        assert decision.score == max(decision.scores.values()) == decision.scores[decision.label]
        assert list(decision.scores) == CLASSES


@torch.no_grad()
def test_a_window_forgets():
    events, model = events_of(3), network("snn")
    decisions = GestureStream(model, BY_TIME, CLASSES, window=2).push(events)
    rows = torch.from_numpy(FrameStream(BY_TIME).push(events)).float().unsqueeze(1)
    votes = model.votes(rows)[0][:, 0]
    expected = torch.stack([votes[max(0, n - 1) : n + 1].mean(0) for n in range(len(votes))]).softmax(1)
    torch.testing.assert_close(torch.tensor([list(one.scores.values()) for one in decisions]), expected)


def test_what_cannot_be_live():
    with pytest.raises(ValueError, match="encoding must be 'frames' for a stream of events, got 'blocks'"):
        GestureStream(network("snn"), Encoding("blocks"), CLASSES)
    with pytest.raises(TypeError, match="window counts votes"):
        GestureStream(network("gru"), BY_TIME, CLASSES, window=3)
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        GestureStream(network("snn"), BY_TIME, CLASSES, window=0)
    with pytest.raises(ValueError, match="evaluation mode"):
        GestureStream(network("snn").train(), BY_TIME, CLASSES)
    with pytest.raises(ValueError, match="classes are 1, the model has"):
        GestureStream(network("snn"), BY_TIME, CLASSES[:1]).push(random_events(np.random.default_rng(0), 60))
    live = GestureStream(network("snn"), BY_TIME, CLASSES)
    events = events_of(1)
    live.push(events)
    with pytest.raises(ValueError, match="time goes back"):
        live.push(events)


def test_latency_is_until_the_decision_is_right_for_good():
    def decided(*labels):
        return [Decision(label, 1.0, {}, 10 * n, float(n)) for n, label in enumerate(labels)]

    assert latency(decided("a", "b", "a", "a"), "a").events == 20
    assert latency(decided("a", "a"), "a").ms == 0.0
    assert latency(decided("a", "b"), "a") is None
    assert latency([], "a") is None
