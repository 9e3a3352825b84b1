"""Neurons set to be those of other libraries; beside them: tests/evaluation/exchange/test_neurons.py."""

import math

import pytest
import torch

from spikeseq.nn import LIF, LIFCell
from spikeseq.nn.like import OTHERS


def test_defaults_are_those_of_the_library():
    assert repr(LIF.like("snntorch", leak=0.9)) == repr(LIF(leak=0.9))
    assert repr(LIF.like("norse", leak=0.9)) == repr(LIF(leak=0.9, reset="hard", norm_input=True))
    assert LIF.like("sinabs").reset == "soft_immediate"
    assert isinstance(LIFCell.like("lava"), LIFCell)


@pytest.mark.parametrize("library", OTHERS)
def test_at_the_threshold(library):
    current = torch.full((1, 1, 4), 1.5)
    for threshold in (1.5, [1.5, 2.0, 1.5, 1.0]):
        lif = LIF.like(library, 4, threshold=threshold, norm_input=min(OTHERS[library].norm_input), leak=0.0)
        fires = OTHERS[library].at_threshold
        expected = [float(one < 1.5 or (one == 1.5 and fires)) for one in lif_thresholds(threshold)]
        assert lif(current)[0][0, 0].tolist() == expected


def lif_thresholds(threshold):
    return threshold if isinstance(threshold, list) else [threshold] * 4


def test_the_number_before_the_threshold_is_of_the_layers_type():
    assert LIF.like("bindsnet").threshold.item() == 1 - 2**-24
    assert LIF.like("bindsnet", dtype=torch.float64).threshold.item() == math.nextafter(1.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nengo",), "library must be one of snntorch, norse, spikingjelly"),
        (
            ("norse", None, "soft"),
            "reset must be 'hard' or 'soft_immediate' for neurons like norse's",
        ),
        (("lava", None, "soft"), "reset must be 'hard' for neurons like lava's"),
    ],
)
def test_what_a_library_has_not_is_refused(arguments, message):
    library, *rest = arguments
    more = {"reset": rest[1]} if rest else {}
    with pytest.raises(ValueError, match=message):
        LIF.like(library, **more)
    with pytest.raises(ValueError, match="norm_input must be False for neurons like snntorch's, got True"):
        LIF.like("snntorch", norm_input=True)
    with pytest.raises(ValueError, match="threshold"):
        LIF.like("bindsnet", threshold=-1.0)
