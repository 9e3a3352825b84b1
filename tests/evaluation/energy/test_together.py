"""Sequences that are computed together share weights; what a weight sees of spikes."""

import pytest
import torch
from torch import nn

from spikeseq import fold_embeddings
from spikeseq.evaluation import measure_energy
from spikeseq.evaluation.energy.measure import BATCH
from spikeseq.evaluation.energy.operations import Operations
from spikeseq.evaluation.energy.prices import LEVELS
from spikeseq.models import RecurrentClassifier, SpikingClassifier
from spikeseq.nn import LIF


def spared(account):
    """Bytes of weights that are not read."""
    alone, together = (account[key]["full at 8KB"] for key in ("full", "together"))
    return (alone - together) / LEVELS["8KB"]


def test_a_map_is_read_once_for_all():
    account = measure_energy(nn.Linear(5, 7), [(torch.randn(1, 5),)], tokens=1)
    assert spared(account) == pytest.approx(4 * 42 * (1 - 1 / BATCH))  # its bias, too


def test_look_ups_are_not_shared():
    account = measure_energy(nn.Embedding(9, 4), [(torch.tensor([3]),)], tokens=1)
    assert spared(account) == 0


def test_spikes_share_no_more_than_they_read():
    few = Operations(weight_bytes=10.0, dense_bytes=6400.0)
    many = Operations(weight_bytes=10.0, dense_bytes=320.0)
    assert few.together(64).weight_bytes == 10.0
    assert many.together(64).weight_bytes == 5.0
    assert many.together(1) == many


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_all_weights_of_a_folded_recurrence_are_shared(kind):
    torch.manual_seed(0)
    model = RecurrentClassifier(9, kind=kind, embedding_size=4, hidden_size=6, pooling="mean")
    given = torch.randint(1, 9, (5, 1)), torch.tensor([5])
    account = measure_energy(fold_embeddings(model), [given], tokens=1)
    read = sum(account["layers"][name]["weight_bytes"] for name in ("rnn", "readout"))
    assert spared(account) == pytest.approx(read * (1 - 1 / BATCH))
    mean = account["layers"]["mean"]
    assert (mean["adds"], mean["state_bytes"]) == (5 * 6, 2 * 4 * 5 * 6)


def test_spikes_per_synapse_by_hand():
    torch.manual_seed(0)
    model = SpikingClassifier(20, embedding_size=4, hidden_size=6, integrators=3, substeps=2).eval()
    account = measure_energy(model, [(torch.randint(1, 20, (8, 1)), torch.tensor([8]))], tokens=8)
    layers = account["layers"]
    acs = layers["spiking.layers.1.input_map"]["acs"] + layers["to_integrator"]["acs"]
    assert account["spikes_per_synapse"] == pytest.approx(acs / (6 * 6 + 6 * 3))
    assert measure_energy(nn.Linear(2, 2), [(torch.randn(1, 2),)], tokens=1)["spikes_per_synapse"] is None


class Convolved(nn.Module):
    def __init__(self):
        super().__init__()
        self.lif, self.conv = LIF(threshold=0.1), nn.Conv2d(2, 3, 2, bias=False)

    def forward(self, x):
        return self.conv(self.lif(x)[0].flatten(0, 1))


def test_a_convolution_is_used_at_many_places():
    account = measure_energy(Convolved(), [(torch.rand(1, 1, 2, 4, 4),)], tokens=1, input_kind="analog")
    acs = account["layers"]["conv"]["acs"]
    assert acs > 0
    assert account["spikes_per_synapse"] == pytest.approx(acs / (3 * 9 * 2 * 4))
