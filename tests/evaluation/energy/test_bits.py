"""Operands of few bits: their counts and prices by hand."""

import pytest
import torch

from spikeseq import fold_embeddings
from spikeseq.evaluation import measure_energy
from spikeseq.evaluation.energy.prices import INT8_MAC, THESIS, full, int_add, int_mac, int_multiply
from spikeseq.models import RecurrentClassifier
from spikeseq.quantisation import QuantisedRNN, QuantisedTable

GATES = {"lstm": 4, "gru": 3}


def texts(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 30, (9, 1), generator=generator), torch.tensor([9])


def classifier(kind, bits, **more):
    torch.manual_seed(0)
    return RecurrentClassifier(30, kind=kind, embedding_size=6, hidden_size=5, bits=bits, **more).eval()


@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize("kind", GATES)
def test_a_folded_model_by_hand(kind, bits):
    model = fold_embeddings(classifier(kind, bits, pooling="mean"))
    tokens, lengths = texts()
    out = model.outputs(tokens, lengths)
    active = int((out[:-1] != 0).sum())
    counts = measure_energy(model, [(tokens, lengths)], tokens=1)["layers"]["rnn"]
    gates, size, n = GATES[kind], bits / 8, 9 * 5
    states, functions, sums = (4, 8, 1) if kind == "lstm" else (3, 6, 2)
    biases = n * gates if kind == "gru" else 0
    assert counts[f"int{bits}_macs"] == active * gates * 5
    assert counts["int_multiplies"] == n * (functions + gates + 1)
    assert counts["int_adds"] == n * (sums + states) + biases
    assert counts["weight_bytes"] == pytest.approx(size * active * gates * 5 + 2 * biases)
    assert counts["state_bytes"] == pytest.approx(n * 2 * (size + 2))  # read and written
    assert counts["activation_bytes"] == pytest.approx(n * size * (gates + 1))
    assert "macs" not in counts


def test_padding_is_not_counted():
    model = fold_embeddings(classifier("lstm", 4))
    tokens, lengths = texts()
    alone = measure_energy(model, [(tokens, lengths)], tokens=9)
    padded = torch.cat((tokens, tokens.new_zeros(3, 1))), torch.cat((tokens.flip(0), tokens.new_zeros(3, 1)))
    both = torch.cat(padded, 1), torch.tensor([9, 9])
    turned = measure_energy(model, [(tokens.flip(0), lengths)], tokens=9)
    found = measure_energy(model, [both], tokens=18)["operations"]
    for name in ("int4_macs", "weight_bytes", "state_bytes"):
        expected = (alone["operations"][name] + turned["operations"][name]) / 2
        assert found[name] == pytest.approx(expected), name


@pytest.mark.parametrize("rectified", [False, True], ids=["signed", "rectified"])
@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize("kind", GATES)
def test_folded_is_what_was_trained(kind, bits, rectified):
    model = classifier(kind, bits, rectified=rectified)
    tokens = torch.cat([texts(seed)[0] for seed in range(4)], 1)
    lengths = torch.tensor([9, 3, 5, 1])
    folded = fold_embeddings(model)
    torch.testing.assert_close(folded(tokens, lengths), model(tokens, lengths))
    assert isinstance(folded.embedding, QuantisedTable)
    with pytest.raises(TypeError, match="QuantisedRecurrence where an"):
        fold_embeddings(folded)


def test_bytes_are_those_of_the_bits():
    model = fold_embeddings(classifier("lstm", 4))
    rest = 4 * (5 * 2 + 2 + 20 + 3)  # read-out, the row behind a text's end, three steps
    account = measure_energy(model, [texts()], tokens=9)
    assert account["bytes"] == 30 * 20 / 2 + 20 * 5 / 2 + rest
    assert account["not_counted"] == [] and account["guessed"] == []


def test_what_is_rounded_before_it_is_folded():
    layer = QuantisedRNN("lstm", 6, 5, bits=3).eval()
    counts = measure_energy(layer, [(torch.randn(7, 1, 6),)], tokens=1)["layers"]
    assert counts["input_map"]["macs"] == 7 * 6 * 20
    assert counts["inputs"]["int_multiplies"] == 7 * 20
    assert counts["inputs"]["activation_bytes"] == 7 * 20 * 3 / 8


def test_prices_go_through_horowitzs_and_fall_with_the_bits():
    assert int_multiply(8) == pytest.approx(0.2) and int_multiply(32) == pytest.approx(3.1)
    assert int_add(8) == pytest.approx(0.03) and int_add(32) == pytest.approx(0.1)
    assert pytest.approx(0.3) == INT8_MAC
    assert int_mac(3) < int_mac(4) < int_mac(8)
    assert int_multiply(4) == pytest.approx(0.0508, abs=1e-4)
    assert THESIS.prices["int3_macs"] == full().prices["int3_macs"] == int_mac(3)
