import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from spikeseq.evaluation import measure_energy
from spikeseq.evaluation.energy.variants import folded, quantised
from spikeseq.models import build_classifier


class Adapted(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 1


class Named(nn.LSTM):
    """Nothing new."""


def lstm():
    return build_classifier({"name": "lstm", "embedding_size": 4, "hidden_size": 4}, 9, 2).eval()


def hooked(model):
    model.rnn.register_forward_hook(lambda module, args, output: None)


def pruned(model):
    prune.l1_unstructured(model.readout, "weight", 0.5)


def parametrized(model):
    nn.utils.parametrizations.weight_norm(model.rnn, "weight_hh_l0")


def adapted(model):
    model.readout = Adapted(4, 2)


def named(model):
    model.rnn = Named(4, 4)


@pytest.mark.parametrize(
    ("change", "path"),
    [(hooked, "rnn"), (pruned, "readout"), (parametrized, "rnn"), (adapted, "readout"), (named, "rnn")],
)
def test_what_8_bits_would_lose_is_refused(change, path):
    model = lstm()
    change(model)
    with pytest.raises(ValueError, match=rf"^{path} \("):
        quantised(model)


def test_8_bits_and_a_model_without():
    small = quantised(lstm())
    inputs = [(torch.randint(1, 9, (3, 1)), torch.tensor([3]))]
    found = measure_energy(small, inputs, tokens=3)
    assert found["operations"]["int8_macs"] == 4 * 4 * 8 + 8 / 3 and found["not_counted"] == []
    assert quantised(build_classifier({"name": "snn"}, 9, 2)) is None
    assert folded(nn.Linear(2, 2)) is None
