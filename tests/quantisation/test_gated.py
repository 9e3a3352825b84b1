"""Recurrent encoder-decoders with rounded operands."""

import pytest
import torch
from few_bits_case import check_whole_is_token_by_token, counts_of_attention, pair, small
from torch import nn

from spikeseq.evaluation import measure_energy
from spikeseq.nn import AdditiveAttention
from spikeseq.quantisation.attention import RoundedAdditiveAttention
from spikeseq.quantisation.gated import RoundedRNN
from spikeseq.quantisation.rounded import RoundedLinear

SMALL = {"embedding_size": 6, "hidden_size": 8}
TORCHS = {"lstm": nn.LSTM, "gru": nn.GRU}
KINDS = pytest.mark.parametrize("kind", ["lstm", "gru"])


def model(name, bits, **more):
    return small(name, bits, **SMALL, **more)


@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize(
    "name", ["attention-gru-gru", "attention-lstm-lstm", "attention-snn-snn", "vanilla-lstm-snn"]
)
def test_all_of_it_learns_and_whole_is_token_by_token(name, bits):
    net = model(name, bits)
    source, lengths, target = pair()
    net(source, lengths, target).square().sum().backward()
    idle = {path for path, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    again = ("attention.query_map.inputs", "attention.key_map.inputs", "attention.values", "starts.")
    for path in idle:  # steps of states that are multiples of the same step already, to start with
        assert path.startswith(again) and path.endswith(".log_step")
    net = net.double().eval()
    whole = check_whole_is_token_by_token(net)
    alone = net.decode(target[:, 1:2], net.encode(source[:2, 1:2], lengths[1:2])).hidden
    torch.testing.assert_close(alone[:, 0], whole[:, 1])  # padding and neighbours change nothing


def with_weights_of(theirs, kind):
    """A `RoundedRNN` of 8 bits with the weights of torch's layer."""
    ours = RoundedRNN(theirs, 8)
    for i, (one, recurrence) in enumerate(zip(ours.maps, ours.recurrences, strict=True)):
        given = theirs._flat_weights[4 * i : 4 * i + 4]
        with torch.no_grad():
            one.weight.copy_(given[0])
            one.bias.copy_(given[2] if kind == "gru" else given[2] + given[3])
            recurrence.weight.copy_(given[1])
            if kind == "gru":
                recurrence.bias.copy_(given[3])
            one.weights.suit(one.weight)
            recurrence.weights.suit(recurrence.weight)
            one.inputs.suit(torch.full((1,), 0.8 if i < ours.directions else 0.2))
    return ours


@KINDS
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
def test_it_is_nearly_torchs_layer(kind, ragged):
    torch.manual_seed(0)
    torchs = TORCHS[kind](6, 16, 2, bidirectional=True)
    ours, x = with_weights_of(torchs, kind), torch.randn(9, 3, 6)
    state = torch.rand((8 if kind == "lstm" else 4), 3, 16) - 0.5
    lengths = torch.tensor([9, 4, 1]) if ragged else None
    given = nn.utils.rnn.pack_padded_sequence(x, lengths) if ragged else x
    expected, final = torchs(given, state.chunk(2) if kind == "lstm" else state)
    if ragged:
        expected, _ = nn.utils.rnn.pad_packed_sequence(expected)
    out, last = ours(x, state, lengths=lengths)
    torch.testing.assert_close(out, expected, atol=0.08, rtol=0)
    torch.testing.assert_close(last, torch.cat(final) if kind == "lstm" else final, atol=0.1, rtol=0)
    assert not ragged or not out[4:, 1].any()


@KINDS
def test_a_stack_by_hand(kind):
    torch.manual_seed(0)
    layer = RoundedRNN(TORCHS[kind](6, 5, 2, bidirectional=True), 4)
    x, gates = torch.randn(7, 1, 6), 4 if kind == "lstm" else 3
    account = measure_energy(layer, [(x,)], tokens=1)
    counts = account["layers"]
    met = int((layer.maps[1].inputs(x) != 0).sum())
    assert counts["maps.1"]["int4_macs"] == met * gates * 5
    between, _ = RoundedRNN.forward(layer, x)
    assert counts["recurrences.0"]["state_bytes"] == 7 * 5 * 2 * (0.5 + 2)
    assert between.shape == (7, 1, 10)
    assert account["core"]["macs"] == 0 and account["not_counted"] == account["guessed"] == []
    assert account["core"]["picojoules"] == account["picojoules"]  # maps to gates are of the recurrence


def test_what_a_first_token_meets_is_the_state_that_it_is_given():
    torch.manual_seed(0)
    layer = RoundedRNN(nn.GRU(6, 5), 4)
    x, state = torch.randn(1, 1, 6), torch.tensor([0.9, -0.8, 0.0, 0.7, 0.0]).view(1, 1, 5)
    counts = measure_energy(layer, [(x, state)], tokens=1)["layers"]
    assert counts["recurrences.0"]["int4_macs"] == 3 * 15


def test_attention_by_hand():
    torch.manual_seed(0)
    layer = RoundedAdditiveAttention(AdditiveAttention(6, 4, 5), 4)

    counts = counts_of_attention(layer, torch.randn(2, 1, 6), torch.randn(3, 1, 4))
    assert counts["int4_macs"] == 6 * 5 + 6 * 4
    assert counts["int_multiplies"] == 3 * 6 + 2 * 30 and counts["int_adds"] == 2 * 6 + 30
    assert counts["weight_bytes"] == 30 / 2 and counts["activation_bytes"] == 54 / 2


def test_sums_of_spikes_are_added_and_not_multiplied():
    net = model("attention-snn-snn", 4).eval()
    source, lengths, target = (x[:, :1] if x.dim() > 1 else x[:1] for x in pair())
    account = measure_energy(net, [(source, lengths, target)], tokens=1)
    counts = account["layers"]
    assert counts["encoder.maps.0"]["int4_macs"] > 0 and "int_acs" not in counts["encoder.maps.0"]
    assert counts["encoder.maps.1"]["int_acs"] > 0 and "int4_macs" not in counts["encoder.maps.1"]
    assert counts["encoder.maps.1"]["int_acs"] % 16 == 0  # of both directions
    assert (
        counts["encoder.maps.1"]["activation_bytes"] == 6 * 16 + 2 * 6 * 16
    )  # sums of spikes, and of weights
    assert account["not_counted"] == [] and account["guessed"] == []


def test_the_table_is_the_embeddings_and_the_output_maps():
    net = model("attention-gru-gru", 4)
    words = net.output_map[1]
    assert words.weight is net.target_embedding.weight and words.weights is net.target_embedding.weights
    row = net.target_embedding(torch.tensor([5])) / words.weights.step
    torch.testing.assert_close(row, row.round())
    loose = RoundedLinear(nn.Linear(3, 4), 4)
    assert loose.spare_bytes == 12 * 3.5 and words.spare_bytes == 0


def test_as_many_sentences_as_tokens_leave_nothing_to_guess():
    source, target = torch.randint(4, 20, (3, 3)), torch.randint(4, 20, (5, 3))
    account = measure_energy(
        model("attention-gru-gru", 4).eval(), [(source, torch.tensor([3, 2, 1]), target)], tokens=1
    )
    assert account["guessed"] == []


@pytest.mark.parametrize("name", ["attention-gru-gru", "vanilla-lstm-snn"])
def test_shapes_are_told_without_values(name):
    source, lengths, target = (x.to("meta") for x in pair())
    with torch.device("meta"):
        assert model(name, 4)(source, lengths, target).shape == (5, 3, 24)


def test_what_is_behind_an_end_reaches_no_gradient():
    torch.manual_seed(0)
    layer, lengths = RoundedRNN(nn.GRU(6, 5, 2, bidirectional=True), 4), torch.tensor([4, 2])
    x = torch.randn(4, 2, 6)
    x[2:, 1] = float("nan")
    out, state = layer(x, lengths=lengths)
    (out.square().sum() + state.square().sum()).backward()
    assert all(bool(p.grad.isfinite().all()) for p in layer.parameters())


@pytest.mark.parametrize("bits", [2, 16, True], ids=str)
def test_other_widths_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be one of 8, 4, 3"):
        model("attention-gru-gru", bits)
