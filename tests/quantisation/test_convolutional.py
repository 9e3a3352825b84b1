"""Convolutional encoder-decoders with rounded operands."""

import pytest
import torch
from few_bits_case import check_whole_is_token_by_token, counts_of_attention, pair, small
from torch import nn

from spikeseq.evaluation import measure_energy
from spikeseq.nn import DotAttention, TokenConv1d
from spikeseq.quantisation.attention import RoundedDotAttention
from spikeseq.quantisation.convolutional import RoundedTokenConv1d
from spikeseq.quantisation.rounded import RoundedLinear

SMALL = {"channels": 8, "layers": 2, "positions": 12}


def model(name, bits):
    return small(name, bits, **SMALL)


@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize("name", ["conv-ann-ann", "conv-snn-snn", "conv-snn-ann"])
def test_all_of_it_learns_and_whole_is_token_by_token(name, bits):
    net = model(name, bits)
    source, lengths, target = pair()
    net(source, lengths, target).square().sum().backward()
    assert [path for path, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    check_whole_is_token_by_token(net.double().eval())


def test_the_table_is_the_embeddings_and_the_output_maps():
    net = model("conv-ann-ann", 4)
    tokens = net.decoder.embedding.tokens
    assert net.output_map.weight is tokens.weight and net.output_map.weights is tokens.weights
    row = tokens(torch.tensor([5])) / tokens.weights.step
    torch.testing.assert_close(row, row.round())


def test_with_eight_bits_it_answers_nearly_as_in_float32():
    net, rounded = model("conv-ann-ann", None).eval(), model("conv-ann-ann", 8).eval()
    state = net.state_dict()
    assert rounded.load_state_dict(state, strict=False).unexpected_keys == []
    for module in rounded.modules():
        if hasattr(module, "weights") and hasattr(module, "weight"):
            module.weights.suit(module.weight)
    ours, theirs = rounded(*pair()), net(*pair())
    assert (ours - theirs).std() < 0.2 * theirs.std()


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_a_map_by_hand(bits):
    torch.manual_seed(0)
    layer = RoundedLinear(nn.Linear(5, 7), bits)
    x = torch.randn(6, 5)
    x[:, 0] = 0
    active, size = int((layer.inputs(x) != 0).sum()), bits / 8
    counts = measure_energy(layer, [(x,)], tokens=1)["operations"]
    assert 0 < active <= 24 and counts == {
        f"int{bits}_macs": active * 7,
        "int_multiplies": 30 + 42,
        "int_adds": 42,
        "weight_bytes": pytest.approx(size * active * 7 + 2 * 42),
        "dense_bytes": pytest.approx(size * 30 * 7 + 2 * 42),
        "activation_bytes": pytest.approx(size * 30 + 2 * 42),
    }


@pytest.mark.parametrize("spiking", [False, True], ids=["rectified", "spikes"])
def test_a_convolution_by_hand(spiking):
    torch.manual_seed(0)
    layer = RoundedTokenConv1d(TokenConv1d(3, 4, causal=True), 4, spiking)
    x = (torch.rand(5, 1, 3) > 0.5).float() if spiking else torch.randn(5, 1, 3)
    given = layer.given(x) != 0
    met = sum(int(given[: 5 - tap].sum()) for tap in range(3))  # for itself and two later
    kind = "spikes" if spiking else "analog"
    counts = measure_energy(layer, [(x,)], tokens=1, input_kind=kind)["operations"]
    assert met > 0 and counts["int_acs" if spiking else "int4_macs"] == met * 4
    assert counts["weight_bytes"] == met * 4 / 2 + 2 * 20
    assert counts["int_adds"] == 20
    assert counts["activation_bytes"] == 15 * (1 / 8 if spiking else 1 / 2) + 2 * 20


def test_attention_by_hand():
    torch.manual_seed(0)
    layer = RoundedDotAttention(DotAttention(6, 6, 6), 4)

    counts = counts_of_attention(layer, torch.randn(2, 1, 6), torch.randn(5, 1, 6))
    assert counts["int4_macs"] == 2 * (2 * 5) * 6
    assert counts["int_multiplies"] == 3 * 10 + 2 * 12 and counts["int_adds"] == 2 * 10
    assert counts["activation_bytes"] == 120 / 2


def test_bytes_are_those_of_the_bits():
    source, lengths, target = (x[:, :1] if x.dim() > 1 else x[:1] for x in pair())
    found = [
        measure_energy(model("conv-ann-ann", bits), [(source, lengths, target)], tokens=5) for bits in (8, 4)
    ]
    weights = (20 + 12 + 24 + 12) * 8 + 4 * 3 * 8 * 8 + 2 * 2 * 8 * 8  # attention's are the last
    assert found[0]["bytes"] - found[1]["bytes"] == weights / 2
