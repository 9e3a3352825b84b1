import pytest
import torch
from torch import nn

import spikeseq
from spikeseq.evaluation.energy.counting import count_operations
from spikeseq.models import build_classifier
from spikeseq.nn import TokenConv1d


def classifier(name, dtype=torch.float64, **more):
    torch.manual_seed(0)
    sizes = {"embedding_size": 5, "hidden_size": 7}
    model = build_classifier({"name": name, **sizes, **more}, 20, 2).to(dtype).eval()
    return spread(model)


def spread(model):
    """Start weights that tell classes apart."""
    with torch.no_grad():
        for parameter in model.readout.parameters():
            parameter.normal_()
    return model


BATCH = torch.randint(1, 20, (9, 3), generator=torch.Generator().manual_seed(0)), torch.tensor([9, 4, 1])


@pytest.mark.parametrize("name", ["snn", "lstm", "gru", "rnn"])
def test_a_folded_classifier_says_the_same(name):
    model = classifier(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = spikeseq.fold_embeddings(model)
    torch.testing.assert_close(folded(*BATCH), model(*BATCH), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(folded.trace(*BATCH), model.trace(*BATCH), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    single = spikeseq.fold_embeddings(classifier(name, torch.float32))
    torch.testing.assert_close(single(*BATCH), classifier(name, torch.float32)(*BATCH), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "macs", "left"),
    [("snn", 5 * 7, 0), ("lstm", 4 * (5 * 7 + 7 * 7), 4 * 7 * 7), ("gru", 3 * (5 * 7 + 7 * 7), 3 * 7 * 7)],
)
def test_what_folding_saves(name, macs, left):
    model = classifier(name, torch.float32)
    inputs = [(BATCH[0][:, :1], BATCH[1][:1])]
    read = {"snn": 16 * 2, "lstm": 7 * 2, "gru": 7 * 2}[name]
    plain, folded = (count_operations(m, inputs, tokens=9) for m in (model, spikeseq.fold_embeddings(model)))
    assert plain.total.macs == pytest.approx(macs + read / 9)
    assert folded.total.macs == pytest.approx(left + read / 9)
    assert folded.total.acs == pytest.approx(plain.total.acs) and folded.unknown == []
    rows = {"snn": 7, "lstm": 4 * 7, "gru": 3 * 7}[name]
    assert spikeseq.fold_embeddings(model).embedding.weight.shape == (20, rows)


@pytest.mark.parametrize(("name", "width"), [("snn", 7), ("lstm", 4 * 7), ("gru", 3 * 7)])
def test_ngrams_are_folded_too_and_cost_look_ups_and_additions(name, width):
    model = classifier(name, ngrams=[2, 3], ngram_rows=50)
    nn.init.normal_(model.ngrams.table.weight)
    folded = spikeseq.fold_embeddings(model)
    torch.testing.assert_close(folded(*BATCH), model(*BATCH), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(folded.trace(*BATCH), model.trace(*BATCH), rtol=1e-12, atol=1e-12)
    assert folded.ngrams.table.weight.shape == (100, width) and model.ngrams.table.weight.shape == (100, 5)
    nn.init.zeros_(model.ngrams.table.weight)  # so that the spikes are those of the words alone
    words = classifier(name)
    words.load_state_dict(model.state_dict(), strict=False)
    inputs = [(BATCH[0][:, :1], BATCH[1][:1])]
    found, without = (
        count_operations(spikeseq.fold_embeddings(m).float(), inputs, tokens=9).total for m in (model, words)
    )
    assert found.macs == without.macs
    assert found.acs - without.acs == pytest.approx(2 * width)
    assert found.weight_bytes - without.weight_bytes == pytest.approx(2 * width * 4)


def test_a_classifier_of_three_tokens_looks_up_three_rows():
    torch.manual_seed(0)
    sizes = {"embedding_size": 5, "hidden_size": 7, "kernel_size": 3}
    model = spread(build_classifier({"name": "snn", **sizes}, 20, 2).double().eval())
    folded = spikeseq.fold_embeddings(model)
    torch.testing.assert_close(folded(*BATCH), model(*BATCH), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(folded.trace(*BATCH), model.trace(*BATCH), rtol=1e-12, atol=1e-12)
    inputs = [(BATCH[0][:, :1], BATCH[1][:1])]
    plain, left = (count_operations(m, inputs, tokens=9).total for m in (model, folded))
    assert plain.macs == pytest.approx((5 * 7 * (9 + 8 + 7) + 16 * 2) / 9)
    assert left.macs == pytest.approx(16 * 2 / 9) and left.acs == pytest.approx(plain.acs)
    with pytest.raises(TypeError, match="folded already"):
        spikeseq.fold_embeddings(folded)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [1, 2, 8])
def test_three_look_ups_for_a_convolution(causal, bias, tokens):
    torch.manual_seed(0)
    conv = TokenConv1d(4, 6, 3, causal=causal, bias=bias)
    ids = torch.randint(0, 10, (tokens, 2))
    table = nn.Embedding(10, 4)
    folded = spikeseq.fold_embeddings(nn.Sequential(table, nn.Linear(4, 5)))
    assert folded[0].weight.shape == (10, 5)

    model = nn.Sequential(table, conv).double()
    folded = spikeseq.fold_embeddings(model)
    torch.testing.assert_close(folded(ids)[0], model(ids)[0], rtol=1e-12, atol=1e-12)
    account = count_operations(folded, [(ids,)], tokens=1)
    assert account.total.macs == account.total.acs == 0 and account.unknown == []
    taps = sum(
        min(tokens, tokens - abs(shift))
        for shift in ((0, 1, 2) if causal else (-1, 0, 1))
        if tokens > abs(shift)
    )
    assert account.total.adds == ((taps - tokens) * 2 + (tokens * 2 if bias else 0)) * 6


@pytest.mark.parametrize(
    "model", [nn.Linear(2, 3), nn.Sequential(), nn.Sequential(nn.Linear(2, 3), nn.ReLU()), "model"]
)
def test_models_that_have_nothing_to_fold(model):
    with pytest.raises(TypeError, match=r"nn\.Embedding and an nn\.Linear or TokenConv1d"):
        spikeseq.fold_embeddings(model)
    with pytest.raises(ValueError, match="only one layer in one direction"):
        spikeseq.fold.fold_recurrent(nn.Embedding(3, 2), nn.LSTM(2, 3, num_layers=2))
    for name in ("snn", "lstm"):
        with pytest.raises(TypeError, match="fold_embeddings found"):
            spikeseq.fold_embeddings(spikeseq.fold_embeddings(classifier(name)))
    with pytest.raises(ValueError, match=r"an embedding with max_norm cannot be folded, got max_norm=1\.0"):
        spikeseq.fold_embeddings(nn.Sequential(nn.Embedding(3, 2, max_norm=1.0), nn.Linear(2, 3)))
