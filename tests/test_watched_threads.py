"""Watchers where a model is run in several threads."""

import pytest
from threads_case import in_threads
from torch import nn
from watched_case import LOOKS, ROUTES, Host, X, image_network, nothing

from spikeseq.monitor import monitor


@pytest.mark.parametrize("look", LOOKS)
def test_what_other_threads_do_with_the_model(look):
    """A monitor is there for all of them; what is measured on inputs of one is not changed by others."""
    network = image_network()
    expected = LOOKS[look](Host(network, ROUTES["plain"], nothing))

    def elsewhere(network):
        in_threads(1, lambda _: network(X + 1))

    if look == "monitor":
        with monitor(network) as watch:
            network(X)
            elsewhere(network)
            both = watch.rates()
            watch.reset()
            network(X)
            network(X + 1)
            assert both == watch.rates() and both
    else:
        assert LOOKS[look](Host(network, ROUTES["plain"], elsewhere)) == expected and expected


def test_watchers_are_opened_and_closed_in_threads():
    call = nn.Module.__call__

    def work(_):
        network = image_network()
        for _ in range(10):
            with monitor(network) as watch:
                network(X)
                assert watch.rates()

    in_threads(4, work)
    assert nn.Module.__call__ is call
