import pytest
import torch
from torch import nn

import spikeseq
from spikeseq.evaluation.energy.counting import count_operations
from spikeseq.events import EventConv1d, EventLinear, weights_read
from spikeseq.models import build_classifier
from spikeseq.models.seq2seq import ConvSeq2Seq, build_seq2seq, greedy
from spikeseq.nn import SpikingRNN, TokenConv1d


def classifier(dtype=torch.float64, **changes):
    torch.manual_seed(0)
    model = build_classifier({"name": "snn", "embedding_size": 20, "hidden_size": 32, **changes}, 50, 2)
    nn.init.normal_(model.readout.weight)
    if model.ngrams is not None:
        nn.init.normal_(model.ngrams.table.weight)
    return model.to(dtype).eval()


def translator(dtype=torch.float64, **changes):
    torch.manual_seed(0)
    return ConvSeq2Seq(40, 41, channels=16, layers=2, **changes).to(dtype).eval()


TEXTS = torch.randint(1, 50, (12, 3), generator=torch.Generator().manual_seed(0)), torch.tensor([12, 5, 1])
PAIRS = (
    torch.randint(4, 40, (7, 3), generator=torch.Generator().manual_seed(1)), torch.tensor([7, 3, 1]),
    torch.randint(4, 41, (6, 3), generator=torch.Generator().manual_seed(2)), torch.tensor([6, 6, 2]),
)  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{}, {"recurrent": True}, {"kernel_size": 3}, {"ngrams": [2, 3], "ngram_rows": 40}]
)
def test_a_classifier_says_the_same(changes):
    model = classifier(**changes)
    events = spikeseq.compile_events(model)
    torch.testing.assert_close(events(*TEXTS), model(*TEXTS), rtol=1e-10, atol=1e-10)
    assert isinstance(events.to_integrator, EventLinear) and weights_read(events) > 0
    single = spikeseq.compile_events(classifier(torch.float32, **changes))
    torch.testing.assert_close(single(*TEXTS).double(), model(*TEXTS), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"stream": True}, {"encoder": "ann"}])
def test_a_translation_model_says_the_same(changes):
    model = translator(**changes)
    events = spikeseq.compile_events(model)
    torch.testing.assert_close(events(*PAIRS), model(*PAIRS), rtol=1e-10, atol=1e-10)
    assert [h.ids for h in greedy(events, *PAIRS[:2])] == [h.ids for h in greedy(model, *PAIRS[:2])]
    assert isinstance(events.decoder.blocks[0].conv, EventConv1d)


def test_a_recurrent_encoder_decoder_says_the_same():
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "embedding_size": 8}
    model = build_seq2seq({"name": "attention-snn-snn", **sizes}, 40, 41).double().eval()
    events = spikeseq.compile_events(model)
    torch.testing.assert_close(events(*PAIRS), model(*PAIRS), rtol=1e-10, atol=1e-10)
    assert weights_read(events) > 0


def test_a_convolution_takes_any_layout():
    conv = TokenConv1d(3, 4, 3, causal=True)
    x = (torch.rand(5, 6, 3) < 0.4).float().transpose(0, 1)
    torch.testing.assert_close(EventConv1d(conv)(x)[0], conv(x)[0])


def test_weights_read_are_the_acs_of_the_account():
    for model, inputs in ((classifier(), TEXTS), (translator(), PAIRS)):
        events = spikeseq.compile_events(model)
        single = [(x[:, :1], *rest) for x, *rest in [inputs]]
        single = [tuple(x[:, :1] if x.dim() == 2 else x[:1] for x in inputs)]
        events(*single[0])
        account = count_operations(events, single, tokens=1)
        assert weights_read(events, reset=True) == 2 * account.total.acs > 0  # run twice
        assert weights_read(events) == 0
        assert account.total.acs == pytest.approx(count_operations(model, single, tokens=1).total.acs)


def test_8_bits_are_close_and_small():
    for model, inputs in ((classifier(torch.float32), TEXTS), (translator(torch.float32), PAIRS)):
        events = spikeseq.compile_events(model, weights="int8")
        close = (events(*inputs) - model(*inputs)).abs().mean() / model(*inputs).abs().mean()
        assert 0 < close < 0.2
        maps = [m for m in events.modules() if isinstance(m, EventLinear | EventConv1d)]
        assert maps and all(m.weight.dtype == torch.int8 for m in maps)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_folded_classifier_is_compiled_as_it_is(kernel_size):
    model = classifier(kernel_size=kernel_size)
    folded = spikeseq.compile_events(spikeseq.fold_embeddings(model))
    torch.testing.assert_close(folded(*TEXTS), spikeseq.compile_events(model)(*TEXTS))


def test_the_model_is_left_alone():
    model = classifier().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    spikeseq.compile_events(model)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_cannot_be_compiled():
    with pytest.raises(TypeError, match="LSTM holds no map of spikes"):
        spikeseq.compile_events(nn.LSTM(2, 3))
    with pytest.raises(TypeError, match="SpikingRNN holds no map"):
        spikeseq.compile_events(SpikingRNN(2, 3))  # its one map sees analog values
    with pytest.raises(TypeError, match="driven by events already"):
        spikeseq.compile_events(spikeseq.compile_events(classifier()))
    with pytest.raises(ValueError, match="weights must be one of"):
        spikeseq.compile_events(classifier(), weights="int4")
    layer = EventLinear(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="events are numbers of spikes"):
        layer(torch.tensor([[0.5, 1.0]]))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(
    "tokens", [3, 40], ids=["few tokens", "many tokens"]
)  # the kernel has a way for each
def test_layers_in_one_call_read_what_they_read_one_by_one(tokens, bias):
    model = classifier()
    if not bias:
        for layer in model.spiking.layers:
            layer.input_map.bias = None
    events = spikeseq.compile_events(model)
    text, found = torch.randint(1, 50, (tokens, 2)), []
    for hooks in (0, 1):  # with one, layers are called
        for layer in events.spiking.layers if hooks else ():
            layer.lif.register_forward_hook(lambda *_: None)
        with torch.no_grad():
            found.append(
                (
                    events(text, torch.tensor([tokens, tokens])),
                    weights_read(events, reset=True),
                )
            )
    (together, reads), (apart, as_many) = found
    torch.testing.assert_close(together, apart, rtol=1e-9, atol=1e-9)
    assert reads == as_many > 0
