"""`LIF.like`, spike for spike beside the libraries: `make test-thirdparty`."""

import pytest
import torch
from peers import needs, needs_older

from spikeseq.evaluation.exchange import page
from spikeseq.evaluation.exchange.neurons import ELSEWHERE, Setting, bindsnet_nodes, fired
from spikeseq.nn import LIF
from spikeseq.nn.like import OTHERS

NEEDED = {
    "snntorch": "snntorch",
    "norse": "norse.torch",
    "spikingjelly": "spikingjelly.activation_based.neuron",
    "sinabs": "sinabs.layers",
    "rockpool": "rockpool.nn.modules",
}
SETTINGS = [
    (library, reset, norm_input)
    for library, other in OTHERS.items()
    for reset in other.resets
    for norm_input in other.norm_input
]


def interpreter(library):
    if library in ELSEWHERE:
        return needs_older(library)
    if library == "bindsnet":
        needs_bindsnet()
    else:
        needs(NEEDED[library])
    return None


def needs_bindsnet():
    try:
        bindsnet_nodes()
    except ImportError as error:
        needs("bindsnet")
        raise AssertionError from error


@pytest.mark.parametrize(("library", "reset", "norm_input"), SETTINGS)
def test_every_setting_fires_the_same_spikes(library, reset, norm_input):
    off, count = page.differing(library, reset, norm_input, interpreter(library))
    assert count == 8000
    if (library, reset) == ("snntorch", "soft_immediate"):
        assert 0 < off < 100  # above two thresholds
    else:
        assert off == 0


@torch.no_grad()
def test_snntorch_without_delay_below_two_thresholds():
    needs("snntorch")
    current = 0.9 * torch.rand(300, 20, generator=torch.Generator().manual_seed(0))
    theirs = fired("snntorch", current, Setting(reset="soft_immediate"))
    ours, _ = LIF.like("snntorch", leak=0.9, reset="soft_immediate")(current.unsqueeze(1))
    assert torch.equal(ours[:, 0], theirs) and theirs.any()


SEEN = {  # fires at, at the threshold, spikes a step, first membrane, input, the next batch
    "snntorch": ("3, 8", "silent", "1", "silent", "as it is", "anew"),
    "norse": ("3, 7, 11", "silent", "1", "fires", "weighted by 1 - leak", "explicit"),
    "spikingjelly": ("3, 7, 11", "fires", "1", "fires", "weighted by 1 - leak", "anew"),
    "sinabs": (
        "3, 7, 11",
        "fires",
        "3 and more",
        "fires",
        "weighted by 1 - leak",
        "rows of the batch before",
    ),
    "rockpool": ("3, 7, 11", "fires", "3 and more", "fires", "as it is", "the state of the first row"),
    "brian2": ("3, 7, 11", "silent", "1", "fires", "weighted by 1 - leak", "has no batches"),
    "bindsnet": ("3, 7, 11", "fires", "1", "fires", "as it is", "refused"),
    "lava": ("3, 7, 11", "silent", "1", "fires", "as it is", "has no batches"),
}


@pytest.mark.parametrize("library", OTHERS)
@torch.no_grad()
def test_each_does_what_the_page_says(library):
    found = page.row(library, OTHERS[library], interpreter(library))[3:]
    expected = SEEN[library]
    assert tuple(found[:5]) == expected[:5] and found[5].startswith(expected[5])
    assert (found[1] == "fires") == OTHERS[library].at_threshold
    assert ("more" in found[2]) == OTHERS[library].several


def test_lava_without_du_keeps_its_currents():
    python = needs_older("lava")
    spikes = fired("lava", torch.full((12, 1), 0.3), Setting(), python, du=0.0)
    assert page.steps(spikes[:, 0]) == "2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
