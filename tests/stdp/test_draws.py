import pytest

from spikeseq.stdp.draws import Draws, happenings


def test_splitmix64():
    """The first outputs of the published generator from state 0 and from 1234567."""
    from spikeseq.stdp.draws import _MASK, _STEP, mixed

    assert mixed(_STEP) == 0xE220A8397B1DCDAF
    assert mixed((1234567 + _STEP) & _MASK) == 6457827717110365317


def test_events_come_at_their_rate_and_in_order():
    for probability in (0.02, 0.1, 0.9, 1.0):
        found = list(happenings(Draws(1, 2, 3), probability, 100, 20_100))
        assert found == sorted(set(found)) and found[0] >= 100 and found[-1] < 20_100
        assert len(found) == pytest.approx(20_000 * probability, rel=0.15)
    assert list(happenings(Draws(1), 0.0, 0, 100)) == []


def test_every_purpose_has_its_own():
    assert len({Draws(*key).next() for key in [(1, 2), (2, 1), (1,), (1, 2, 0), (3, 2)]}) == 5
    assert Draws(1).of(2, 3).next() == Draws(1, 2, 3).next()
