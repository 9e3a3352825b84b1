"""A spiking classifier in whole numbers, beside the one that it is made of."""

import pytest
import torch

from spikeseq import fold_embeddings
from spikeseq.evaluation import measure_energy
from spikeseq.models import RecurrentClassifier, SpikingClassifier
from spikeseq.nn import LIF
from spikeseq.quantisation.spiking import FixedPointLIF, quantise_spiking


def classifier(**more):
    torch.manual_seed(0)
    model = SpikingClassifier(40, embedding_size=8, hidden_size=12, integrators=4, substeps=3, **more).eval()
    torch.nn.init.normal_(model.readout.weight)
    return model


def texts():
    return torch.randint(1, 40, (11, 3), generator=torch.Generator().manual_seed(1)), torch.tensor([11, 7, 1])


@pytest.mark.parametrize("readout", ["spikes", "rate", "membrane"])
@pytest.mark.parametrize("reset", ["soft", "soft_immediate", "hard"])
def test_neurons_are_those_of_the_kernel_but_for_rounding(reset, readout):
    torch.manual_seed(0)
    lif = LIF(6, leak=[0.9] * 6, threshold=[1.0] * 6, reset=reset)
    current, lengths = torch.randn(9, 3, 6), torch.tensor([9, 4, 6])
    given = {"lengths": lengths, "substeps": 2, "readout": readout}
    ours, theirs = FixedPointLIF(lif)(current, **given)[0], lif(current, **given)[0]
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=0.01, rtol=0)  # no membrane is that close to its threshold
    assert bool(ours.any())


def test_membranes_are_whole_multiples():
    lif = LIF(leak=0.9, threshold=0.5)
    u = FixedPointLIF(lif)(torch.randn(9, 3, 6))[1]
    torch.testing.assert_close(u * 2048 / 0.5, (u * 2048 / 0.5).round())


def test_eight_bits_answer_as_float32():
    model = classifier()
    tokens, lengths = texts()
    ours, theirs = quantise_spiking(model, 8)(tokens, lengths), model(tokens, lengths)
    assert (ours - theirs).abs().max() < 0.15 * theirs.abs().max()


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_account_by_hand(bits):
    model = quantise_spiking(classifier(per_channel=True), bits)
    tokens, lengths = torch.randint(1, 40, (11, 1)), torch.tensor([11])
    first = model.spiking.layers[0](
        model.embedding(tokens), None, lengths=None, substeps=3, readout="spikes"
    )[0]
    account = measure_energy(model, [(tokens, lengths)], tokens=1)
    layers, updates, size = account["layers"], 11 * 3 * 12, bits / 8
    lif = layers["spiking.layers.0.lif"]
    spikes = float(first.sum())
    assert spikes > 0
    assert lif["int_updates"] == updates and lif["int_adds"] == spikes
    assert lif["state_bytes"] == 2 * 2 * updates  # 16 bits, read and written
    assert lif["weight_bytes"] == 2 * 2 * updates  # a leak and a threshold each
    assert lif["activation_bytes"] == updates / 8
    second = layers["spiking.layers.1.input_map"]
    assert second["int_acs"] == spikes * 12
    assert second["weight_bytes"] == pytest.approx(size * spikes * 12 + 2 * 33 * 12)  # a bias of 16 bits
    assert layers["embedding"]["weight_bytes"] == pytest.approx(11 * 12 * size)
    assert account["acs"] == account["macs"] - account["operations"].get("macs", 0) == 0
    assert account["not_counted"] == [] and account["guessed"] == []
    float32 = measure_energy(fold_embeddings(classifier(per_channel=True)), [(tokens, lengths)], tokens=1)
    assert account["full"]["full at 8KB"] < float32["full"]["full at 8KB"] / 2


def test_ngrams_are_rows_of_the_same_step():
    model = classifier(ngrams=[2, 3], ngram_rows=9)
    torch.nn.init.normal_(model.ngrams.table.weight, std=0.3)
    tokens, lengths = texts()
    whole = quantise_spiking(model, 8)
    assert (whole(tokens, lengths) - model(tokens, lengths)).abs().max() < 0.5
    assert whole.ngrams.table.step == whole.embedding.step
    account = measure_energy(whole, [(tokens[:, :1], lengths[:1])], tokens=1)
    counts = account["layers"]["ngrams.table"]
    assert counts["int_adds"] == counts["weight_bytes"] == 11 * 2 * 12
    assert account["not_counted"] == [] and account["guessed"] == []


@pytest.mark.parametrize(
    ("more", "message"),
    [({"kernel_size": 3}, "words one by one"), ({"recurrent": True}, "feedback, a norm and norm_input")],
    ids=["context", "feedback"],
)
def test_what_has_no_form_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        quantise_spiking(classifier(**more), 8)


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="takes a SpikingClassifier"):
        quantise_spiking(RecurrentClassifier(5, embedding_size=4, hidden_size=4), 8)
