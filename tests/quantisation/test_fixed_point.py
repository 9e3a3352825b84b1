"""Neurons in whole numbers, beside plain Python's, and beside the kernel's."""

import pytest
import torch

from spikeseq.nn import LIF
from spikeseq.quantisation.fixed_point import FixedPointLIF

MOST = 2**15 - 1
RESETS = ("soft", "soft_immediate", "hard")
READOUTS = ("spikes", "rate", "membrane")


def neurons(**more):
    leaks, thresholds = [0.9, 0.5, 0.999, 1.0, 0.0, 0.97], [1.0, 0.7, 1.3, 1.0, 0.1, 1.0]
    return LIF(6, leak=leaks, threshold=thresholds, substeps=2, **more)


def by_hand(given, steps, reset):
    """Membranes and spikes of one neuron, one after the other, by Python's whole numbers."""
    share, shift, height = given["share"], given["shift"], given["height"]
    u, spike, membranes, spikes = 0, False, [], []
    for row in given["rows"]:
        for _ in range(steps):
            if reset == "soft_immediate":
                u -= height * spike
            elif reset == "hard":
                u -= u * spike
            new = u - (u * share + (1 << shift - 1) >> shift) + row
            if reset == "soft":
                new -= height * spike
            u = max(-MOST, min(MOST, new))
            spike = u > height
            membranes.append(u)
            spikes.append(int(spike))
    return membranes, spikes


@pytest.mark.parametrize("reset", RESETS)
def test_neurons_are_those_of_plain_whole_numbers(reset):
    torch.manual_seed(0)
    lif = FixedPointLIF(neurons(reset=reset), 0.01)
    lengths = torch.tensor([40, 17, 1])
    rows = torch.randint(-300, 400, (40, 3, 6)) * torch.tensor([60, 1, 9])[:, None]  # some reach the bounds
    given = {"lengths": lengths}
    outs = {name: lif(rows * lif.unit, readout=name, **given) for name in READOUTS}
    for b, length in enumerate(lengths.tolist()):
        for c in range(6):
            constants = {name: int(getattr(lif, name)[c]) for name in ("share", "shift", "height")}
            series = {"rows": rows[:length, b, c].tolist(), **constants}
            membranes, spikes = by_hand(series, 2, reset)
            assert outs["spikes"][0][: 2 * length, b, c].tolist() == spikes
            rates = [sum(spikes[t : t + 2]) / 2 for t in range(0, 2 * length, 2)]
            assert outs["rate"][0][:length, b, c].tolist() == rates
            assert (outs["membrane"][0][:length, b, c] / lif.unit).round().tolist() == membranes[1::2]
            assert (outs["rate"][1][b, c] / lif.unit).round() == membranes[-1]
        assert not any(bool(out[length * len(out) // 40 :, b].any()) for out, _ in outs.values())
    assert (outs["membrane"][0] / lif.unit).abs().max().round() == MOST


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("reset", RESETS)
def test_neurons_are_those_of_the_kernel_but_for_rounding(reset, readout):
    torch.manual_seed(0)
    lif = LIF(6, leak=[0.9] * 6, threshold=[1.0] * 6, reset=reset)
    current, lengths = torch.randn(9, 3, 6), torch.tensor([9, 4, 6])
    given = {"lengths": lengths, "substeps": 2, "readout": readout}
    ours, theirs = FixedPointLIF(lif, 1 / 1024)(current, **given)[0], lif(current, **given)[0]
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)  # no membrane is that close to its threshold
    assert bool(ours.any())


@pytest.mark.parametrize("step", [1e-3, 0.3, 20.0])
def test_a_shift_brings_currents_to_the_membrane(step):
    lif = FixedPointLIF(LIF(leak=0.9, threshold=0.5), step)
    assert 256 <= lif.height < 512
    share = torch.tensor(step / lif.unit).log2()
    assert share == share.round()


def test_a_text_in_parts_is_the_same_text():
    torch.manual_seed(0)
    lif, current = FixedPointLIF(LIF(leak=0.95), 0.01), torch.randn(12, 2, 5)
    whole, last = lif(current)
    first, state = lif(current[:5])
    second, end = lif(current[5:], state)
    assert torch.equal(torch.cat((first, second)), whole) and torch.equal(end, last)


def test_membranes_may_wander_sixty_thresholds_off():
    lif = LIF(leak=1.0)
    current = torch.cat((torch.full((60, 1, 1), -1.0), torch.full((70, 1, 1), 1.0)))
    ours = FixedPointLIF(lif, 1 / 256)(current)
    assert ours[1] == lif(current)[1]
    assert torch.equal(ours[0], lif(current)[0]) and bool(ours[0].any())


def test_a_leak_of_each_call_is_refused():
    with pytest.raises(ValueError, match="the leaks that they were made with"):
        FixedPointLIF(LIF(), 0.1)(torch.randn(2, 1, 3), leak=0.5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"readout": "rate", "window": 4}, "window 4 does not divide the 6 sub-steps"),
        ({"readout": "sum"}, "readout must be"),
        ({"current": torch.full((2, 1, 3), float("nan"))}, "must be finite"),
    ],
    ids=["window", "readout", "nan"],
)
def test_what_would_be_cut_off_or_wrap_is_refused(change, told):
    neurons = FixedPointLIF(LIF(substeps=3), 1 / 64)
    with pytest.raises(ValueError, match=told):
        neurons(**{"current": torch.zeros(2, 1, 3)} | change)
