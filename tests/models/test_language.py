"""Language models: later tokens change nothing before, and whole = chunked = streamed."""

import copy

import pytest
import torch

import spikeseq
from spikeseq.models.language import (
    RecurrentLanguageModel,
    SpikingLanguageModel,
    TransformerLanguageModel,
    build_language_model,
    draw,
)
from spikeseq.nn.state import select_state

SPIKING = {
    "fixed": {},
    "input": {"decay": "input"},
    "feedback": {"recurrent": True},
    "shift": {"kernel_size": 4},
    "mixer": {"mixer": 8},
    "ngrams": {"ngrams": [2, 4], "ngram_rows": 9},
    "substeps": {"substeps": 3, "decay": "input", "reset": "hard"},
}
OTHERS = {
    "lstm": lambda: RecurrentLanguageModel(11, kind="lstm", embedding_size=6, hidden_size=8, layers=2),
    "gru": lambda: RecurrentLanguageModel(11, kind="gru", embedding_size=8, hidden_size=8),
    "lstm on ngrams": lambda: RecurrentLanguageModel(
        11, kind="lstm", embedding_size=6, hidden_size=8, ngrams=[2, 3], ngram_rows=9
    ),
    "transformer": lambda: TransformerLanguageModel(11, embedding_size=8, heads=2, hidden_size=9, context=6),
}


def made(name):
    torch.manual_seed(0)
    if name in OTHERS:
        return OTHERS[name]().double().eval()
    model = SpikingLanguageModel(11, embedding_size=8, neurons=12, layers=2, **SPIKING[name])
    return model.double().eval()


def tokens(length=13, batch=3):
    return torch.randint(0, 11, (length, batch), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [*SPIKING, *OTHERS])
@torch.no_grad()
def test_whole_is_chunked_is_streamed(name):
    model, text = made(name), tokens()
    whole, last = model(text)
    assert whole.shape == (13, 3, 11) and whole.std() > 0.1
    for cuts in ([5, 8], [1] * 13, [12, 1]):
        found, state = [], None
        for part in text.split(cuts):
            out, state = model(part, state)
            found.append(out)
        torch.testing.assert_close(torch.cat(found), whole)
        torch.testing.assert_close(state, last)


class Wrapped(torch.nn.Module):
    def __init__(self, around):
        super().__init__()
        self.around = around

    def forward(self, *args):
        return self.around(*args)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_what_stands_in_the_place_of_an_rnn_goes_on_from_its_state(kind, dtype):
    torch.manual_seed(0)
    made = RecurrentLanguageModel(9, kind=kind, embedding_size=8, hidden_size=6, layers=2)
    wrapped = copy.deepcopy(made)
    wrapped.rnn = Wrapped(wrapped.rnn)
    text = torch.randint(0, 9, (6, 2))
    for model in (made, spikeseq.swap(copy.deepcopy(made)), wrapped):
        model = model.to(dtype).eval()
        (first, state), whole = model(text[:4]), model(text)[0]
        assert len(model.memory(state)) == 2
        found = torch.cat((first, model(text[4:], state)[0]))
        close = 1e-9 if dtype == torch.float64 else 0.1
        torch.testing.assert_close(found, whole, rtol=close, atol=close)
        with pytest.raises(ValueError, match=r"state must have shape \(1, 2, 6\), got \(2, 2, 6\)"):
            model(text[:, :1], state)


@pytest.mark.parametrize("name", [*SPIKING, *OTHERS])
@torch.no_grad()
def test_later_tokens_change_nothing_before(name):
    model, text = made(name), tokens()
    other = text.clone()
    other[7:] = (other[7:] + 1) % 11
    torch.testing.assert_close(model(other)[0][:7], model(text)[0][:7])
    assert not torch.equal(model(other)[0][7:], model(text)[0][7:])


@pytest.mark.parametrize("name", [*SPIKING, *OTHERS])
@torch.no_grad()
def test_rows_of_a_state_can_be_selected(name):
    model, text = made(name), tokens()
    _, state = model(text)
    rows = torch.tensor([2, 0])
    one, _ = model(text[:4, rows], select_state(state, rows))
    torch.testing.assert_close(one, model(text[:4], state)[0][:, rows])


@pytest.mark.parametrize("name", [*SPIKING, "lstm", "gru", "transformer"])
def test_every_parameter_learns(name):
    model = made(name).train()
    text = tokens(6)
    state = None if name == "transformer" else model(text)[1]
    logits, _ = model(text, state)
    torch.nn.functional.cross_entropy(logits[:-1].flatten(0, 1), text[1:].flatten()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not silent


def test_neurons_forget_at_different_speeds():
    torch.manual_seed(0)
    model = SpikingLanguageModel(11, embedding_size=8, neurons=50, layers=1, leaks=[0.2, 0.98])
    leak = model.blocks[0].layer.lif.leak.detach()
    assert leak.min() == pytest.approx(0.2) and leak.max() == pytest.approx(0.98)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"decay must be one of 'fixed', 'input', got 'other'"):
        SpikingLanguageModel(11, decay="other")
    with pytest.raises(ValueError, match="recurrent=True goes with decay='fixed'"):
        SpikingLanguageModel(11, decay="input", recurrent=True)
    with pytest.raises(ValueError, match="context must be an even number"):
        TransformerLanguageModel(11, context=7)
    with pytest.raises(ValueError, match="model must be one of snn, lstm, gru, transformer, got 'rnn'"):
        build_language_model({"name": "rnn"}, 5)
    model = made("fixed")
    with pytest.raises(TypeError, match="tokens must be int64"):
        model(torch.rand(3, 2, dtype=torch.float64))
    for one in (model, made("transformer")):
        with pytest.raises(ValueError, match=r"tokens must be \(L, B\) with at least one row, got \(0, 2\)"):
            one(torch.zeros((0, 2), dtype=torch.int64))


def test_a_greedy_draw_takes_the_likeliest():
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 1.0, 0.0]])
    assert draw(logits, temperature=0).tolist() == [1, 0]


def test_draws_keep_to_the_likeliest():
    logits = torch.tensor([[0.0, 3.0, 2.9, -1.0]]).expand(500, 4)
    generator = torch.Generator().manual_seed(0)
    assert set(draw(logits, generator, top_k=2).tolist()) == {1, 2}
    # Shares 0.48, 0.44, 0.05 and so on: two hold 0.9, one 0.4.
    assert set(draw(logits, generator, top_p=0.9).tolist()) == {1, 2}
    assert set(draw(logits, generator, top_p=0.4).tolist()) == {1}
    assert set(draw(logits, generator, temperature=3.0).tolist()) == {0, 1, 2, 3}


def test_equal_logits_are_k_of_them():
    found = draw(torch.zeros(300, 5), torch.Generator().manual_seed(0), top_k=2)
    assert len(set(found.tolist())) == 2


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_logits_that_are_no_numbers_are_refused(temperature):
    with pytest.raises(ValueError, match="logits must be numbers, got NaN"):
        draw(torch.tensor([[0.0, float("nan")]]), temperature=temperature)


def test_draws_have_the_model_s_frequencies():
    shares = torch.tensor([0.1, 0.2, 0.7])
    found = draw(shares.log().expand(20_000, 3), torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.bincount() / 20_000, shares, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 .* or a positive number, got -1.0"),
        ({"temperature": float("nan")}, "temperature must be 0"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], got 0.0"),
        ({"top_p": 1.5}, r"top_p must lie in \(0, 1\], got 1.5"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
    ],
    ids=["below-zero", "nan", "nothing", "above-one", "none"],
)
def test_what_cannot_be_drawn_from_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        draw(torch.zeros(1, 3), **settings)


@pytest.mark.parametrize("temperature", [1e-320, 5e-324, 1e-40])
def test_a_tiny_temperature_draws_the_likeliest(temperature):
    logits = torch.tensor([[-5.0, 300.0, 299.0]])
    assert draw(logits, torch.Generator().manual_seed(0), temperature=temperature).tolist() == [1]


# case 3.3
@pytest.mark.parametrize("name", [*SPIKING, *OTHERS])
def test_a_model_made_without_memory_becomes_a_fresh_one(name):
    fresh = made(name)
    with torch.device("meta"):
        model = made(name)
    model = model.to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.detach().fill_(7)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    begun = fresh.state_dict()
    for name, value in model.state_dict().items():
        if "in_proj" in name:  # nn.MultiheadAttention has no reset_parameters
            continue
        assert not (value == 7).any(), name
        before = begun[name].square().mean()
        if value.numel() > 60 and before:  # of random ones, the size
            assert 0.25 < value.square().mean() / before < 4, name


# case 4.13
@pytest.mark.parametrize(
    "change", [{"kernel_size": 3}, {"kernel_size": 3, "decay": "input"}], ids=["fixed", "input"]
)
def test_an_exported_program_takes_any_length(change):
    torch.manual_seed(0)
    model = SpikingLanguageModel(11, embedding_size=8, neurons=12, layers=1, **change).double().eval()
    length = torch.export.Dim("length")
    program = torch.export.export(model, (tokens(),), dynamic_shapes=({0: length},)).module()
    torch.testing.assert_close(program(tokens(5))[0], model(tokens(5))[0])


@pytest.mark.parametrize("change", [{"substeps": 0}, {"mixer": -1}], ids=["substeps", "mixer"])
def test_bad_arguments_of_a_block_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        SpikingLanguageModel(11, embedding_size=8, neurons=12, layers=1, **change)
