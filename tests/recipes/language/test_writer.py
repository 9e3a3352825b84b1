"""What a model writes, and how likely it finds a text: equal to its logits over the whole text."""

import itertools
import math

import pytest
import torch

import spikeseq
from spikeseq.models.language import (
    RecurrentLanguageModel,
    SpikingLanguageModel,
    TransformerLanguageModel,
)
from spikeseq.recipes.language import writer as writers
from spikeseq.recipes.language.surprise import memories, slowest
from spikeseq.recipes.language.units import Bytes, learn_unit
from spikeseq.recipes.language.writer import Writer, generation_speed
from spikeseq.recipes.shared.plots import save, surprise_figure

TEXT = "the cat sat on the mat\nthe dog sat on the log\n" * 3
MODELS = {
    "snn": lambda size: SpikingLanguageModel(size, embedding_size=8, neurons=12, layers=2, kernel_size=3),
    "lstm": lambda size: RecurrentLanguageModel(size, kind="lstm", embedding_size=8, hidden_size=12),
    "gru": lambda size: RecurrentLanguageModel(size, kind="gru", embedding_size=8, hidden_size=12),
    "transformer": lambda size: TransformerLanguageModel(
        size, embedding_size=8, heads=2, hidden_size=8, context=16, layers=1
    ),
}


def made(model="snn", unit="byte"):
    torch.manual_seed(0)
    unit = Bytes() if unit == "byte" else learn_unit(unit, [TEXT], 280, 1)
    return Writer(MODELS[model](unit.size).double().eval(), unit)


def never_ending(writer):
    """Its document never ends."""
    with torch.no_grad():
        writer.model.output_bias[writer.unit.end] = -1e9
    return writer


def written(writer, *args, **options):
    return "".join(writer.generate(*args, **options))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prompt", ["", "the cat"])
@torch.no_grad()
def test_greedy_text_is_that_of_the_whole(model, prompt):
    writer = never_ending(made(model))
    ids = [writer.unit.end, *prompt.encode()]
    for _ in range(40):
        logits, _ = writer.model(torch.tensor(ids).unsqueeze(1))
        ids.append(int(logits[-1, 0].argmax()))
    expected = bytes(ids[1 + len(prompt) :]).decode("utf-8", "replace")
    assert written(writer, prompt, tokens=40, temperature=0) == expected


@pytest.mark.parametrize("unit", ["byte", "subword", "word"])
@pytest.mark.parametrize("prompt", ["", "the cat", "the cat\n", "é 🎉 \x00 never seen", " "])
def test_the_same_seed_writes_the_same_text(unit, prompt):
    writer = never_ending(made(unit=unit))
    first, again = (written(writer, prompt, tokens=30, seed=5) for _ in range(2))
    assert first == again != written(writer, prompt, tokens=30, seed=6)
    torch.manual_seed(3)
    drawn = written(writer, prompt, tokens=30)
    assert drawn != written(writer, prompt, tokens=30)
    torch.manual_seed(3)
    assert written(writer, prompt, tokens=30) == drawn
    assert written(writer, prompt, tokens=30, top_k=1, seed=1) == written(
        writer, prompt, tokens=30, temperature=0
    )


@pytest.mark.parametrize("tokens", [1, 7])
def test_as_many_tokens_as_wanted_and_steps_for_them(tokens):
    writer, calls = never_ending(made(unit="word")), []
    writer.stream.register_forward_hook(lambda *_: calls.append(1))
    assert len(written(writer, tokens=tokens, seed=1).replace("\n", " <eos> ").split()) <= tokens
    assert len(calls) == tokens  # the prompt, and a step for each token but the last


def test_who_watches_the_model_sees_it_write():
    writer = never_ending(made())
    with spikeseq.monitor(writer.model) as watch:
        text = written(writer, tokens=5, seed=1)
        assert all(rate > 0 for rate in watch.rates().values()) and watch.rates()
    assert written(writer, tokens=5, seed=1) == text


def test_a_hooked_model_writes_as_it_is():
    writer, calls = never_ending(made()), []
    text = written(made_again := never_ending(made()), tokens=5, seed=1)
    assert made_again.stream is not made_again.model
    writer.model.register_forward_hook(lambda *_: calls.append(1))
    assert written(writer, tokens=5, seed=1) == text and len(calls) == 5


def test_weights_that_change_are_seen():
    """As an optimiser, a state dict or a new part changes them, and not between."""
    writer, other = never_ending(made()), never_ending(made())
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(1.1)
    text, expected = (written(one, tokens=30, seed=1) for one in (writer, other))
    stream = writer.stream
    assert writer.stream is stream is not writer.model and text != expected
    writer.model.load_state_dict(other.model.state_dict())
    assert writer.stream is not stream and written(writer, tokens=30, seed=1) == expected
    torch.testing.assert_close(writer.read("the")[0], other.read("the")[0])
    score = writer.score("the").bits_per_byte
    writer.model.norm = torch.nn.LayerNorm(8).double().requires_grad_(False)
    assert writer.score("the").bits_per_byte != score


def averaged(model):
    for parameter in model.parameters():
        parameter.data.mul_(-1)


def from_a_vector(model):
    vector = torch.nn.utils.parameters_to_vector(model.parameters())
    torch.nn.utils.vector_to_parameters(vector * 1.5, model.parameters())


def scaled(model):
    model.norm = torch.nn.Sequential(model.norm, torch.nn.Linear(8, 8).double())


def slower(model):
    model.blocks[0].substeps += 3
    model.blocks[1].substeps += 3


def hard(model):
    for block in model.blocks:
        block.layer.lif.reset = "hard"


def hooked(model):
    model.blocks[1].register_forward_hook(lambda module, given, out: (out[0].flip(2), out[1]))


def hooked_all(model):
    model.blocks.register_forward_hook(lambda module, given, out: (out[0].flip(2), out[1]))


def other_layer(model):
    model.blocks[0].layer = model.blocks[1].layer


def narrower(model):
    model.width = 2


CHANGES = (averaged, from_a_vector, scaled, slower, hard, hooked, hooked_all, other_layer, narrower)


@pytest.mark.parametrize("change", CHANGES, ids=[one.__name__ for one in CHANGES])
@torch.no_grad()
def test_it_writes_as_the_model_is_now(change):
    """However it was changed after its first use."""
    writer = never_ending(made())
    for block in writer.model.blocks:  # many spikes
        block.layer.input_map.weight.mul_(4)
    (logits, _), score = writer.read(TEXT), writer.score(TEXT)
    change(writer.model)
    expected, _ = writer.model(torch.tensor([writer.unit.end, *TEXT.encode()]).unsqueeze(1))
    torch.testing.assert_close(writer.read(TEXT)[0], expected[-1])
    assert not torch.allclose(logits, expected[-1])
    wanted = expected[:-1, 0].log_softmax(1).gather(1, torch.tensor(list(TEXT.encode())).unsqueeze(1))
    found = writer.score(TEXT).log_probabilities
    torch.testing.assert_close(torch.tensor(found).double(), wanted.flatten())
    assert found != score.log_probabilities
    again = Writer(writer.model, writer.unit)
    assert written(writer, tokens=30, seed=1) == written(again, tokens=30, seed=1)


def test_weights_of_inference_mode_are_seen():
    """Which have no version."""
    with torch.inference_mode():
        writer, other = never_ending(made()), never_ending(made())
        averaged(other.model)
        first = writer.read(TEXT)[0]
        writer.model.load_state_dict(other.model.state_dict())
        assert not torch.equal(writer.read(TEXT)[0], first)
        torch.testing.assert_close(writer.read(TEXT)[0], other.read(TEXT)[0])


def test_n_grams_that_change_are_seen():
    torch.manual_seed(0)
    model = SpikingLanguageModel(257, embedding_size=8, neurons=12, layers=1, ngrams=(2, 3), ngram_rows=20)
    writer = Writer(model.double().eval(), Bytes())
    for orders, rows in (([2, 4], 20), ([2, 4], 10)):
        writer.read(TEXT)
        writer.model.ngrams.orders[:], writer.model.ngrams.rows = orders, rows
        expected, _ = writer.model(torch.tensor([writer.unit.end, *TEXT.encode()]).unsqueeze(1))
        torch.testing.assert_close(writer.read(TEXT)[0], expected[-1].detach())


def test_it_ends_where_the_document_ends():
    writer = made()
    with torch.no_grad():
        writer.model.output_bias[writer.unit.end] = 1e9
    assert written(writer, "the", tokens=None) == ""
    writer = made()
    with torch.no_grad():
        writer.model.output_bias[writer.unit.end] = 2.0
    lengths = [len(list(writer.generate(tokens=None, seed=seed))) for seed in range(20)]
    assert len(set(lengths)) > 3


def test_it_streams():
    writer = never_ending(made())
    pieces = writer.generate(tokens=None, seed=1)
    assert len(list(itertools.islice(pieces, 50))) == 50


def test_text_comes_in_whole_characters():
    writer = made()
    with torch.no_grad():  # whatever came before: the bytes of é, again and again
        writer.model.output_bias.fill_(-1e9)
        writer.model.output_bias[0xC3] = 0.0
    pieces = list(writer.generate(tokens=3, seed=1))
    assert pieces == ["\ufffd", "\ufffd", "\ufffd"]


def test_a_prompt_goes_on_as_its_unit_has_it():
    writer = never_ending(made(unit="word"))
    with torch.no_grad():
        writer.model.output_bias.fill_(-1e9)
        writer.model.output_bias[writer.unit.vocab.encode(["cat"])[0]] = 0.0
    assert written(writer, "the", tokens=2) == " cat cat"
    assert written(writer, "the\n", tokens=2) == written(writer, tokens=2) == "cat cat"


@pytest.mark.parametrize("length", [0, 1, 5, 40])
@pytest.mark.parametrize("at_once", [1, 3, 1024])
@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_the_score_is_the_cross_entropy(model, at_once, length, monkeypatch):
    monkeypatch.setattr(writers, "READ_AT_ONCE", at_once)
    writer, text = made(model), ("é" + TEXT)[:length]
    ids = list(text.encode())
    found = writer.score(text)
    logits, _ = writer.model(torch.tensor([writer.unit.end, *ids]).unsqueeze(1))
    expected = torch.nn.functional.cross_entropy(logits[:-1, 0], torch.tensor(ids).long(), reduction="sum")
    assert -sum(found.log_probabilities) == pytest.approx(float(expected) if ids else 0.0)
    assert len(found.tokens) == len(ids) == found.bytes
    assert found.bits_per_byte == pytest.approx(float(expected) / math.log(2) / len(ids) if ids else 0.0)


@pytest.mark.parametrize("at_once", [1, 3, 1024])
def test_a_prompt_is_read_in_parts(at_once, monkeypatch):
    writer = made()
    expected, _ = writer.read(TEXT)
    monkeypatch.setattr(writers, "READ_AT_ONCE", at_once)
    found, state = writer.read(TEXT)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(writer.read(" on", state)[0], writer.read(TEXT + " on")[0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"prompt": 3}, TypeError, "prompt must be a string, got int"),
        ({"tokens": 0}, ValueError, "tokens must be at least 1, got 0"),
        ({"temperature": -1}, ValueError, "temperature must be 0 .* got -1"),
        ({"top_p": 0}, ValueError, r"top_p must lie in \(0, 1\], got 0"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1, got 0"),
        ({"seed": 2**70}, ValueError, "seed must be an integer of 64 bits, got"),
        ({"seed": "1"}, TypeError, "seed must be an integer, got str"),
    ],
    ids=lambda value: None if not isinstance(value, dict) else next(iter(value)),
)
def test_bad_arguments_are_named_at_the_call(arguments, error, message):
    with pytest.raises(error, match=message):
        made().generate(**arguments)
    with pytest.raises(TypeError, match="text must be a string, got bytes"):
        made().score(b"x")


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_what_is_seen_of_a_text(model, tmp_path):
    writer = made(model)
    seen = writer.see(TEXT)
    tokens, bits, held = seen.surprise
    score = writer.score(TEXT)
    assert tokens == score.tokens == seen.tokens[1:]
    assert sum(bits) / len(TEXT) == pytest.approx(score.bits_per_byte)
    assert len(held) == (0 if model == "transformer" else 4)
    if model == "snn":
        text = torch.tensor([writer.unit.end, *TEXT.encode()]).unsqueeze(1)
        for name, values in held.items():
            block, neuron = map(int, name.removeprefix("block ").split(", "))
            for place in (0, 17, len(TEXT) - 1):
                _, state = writer.model(text[: place + 2])
                torch.testing.assert_close(values[place], state[block][0][0, neuron])
    save(surprise_figure(tokens, bits, held), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert writer.see("").surprise is None


def test_slow_neurons_are_those_that_change_slowly():
    time = torch.arange(200) / 200
    layers = {
        "a": torch.stack((torch.sin(300 * time), torch.sin(12 * time), torch.ones(200), 3 * time), 1),
        "b": torch.stack((torch.cos(9 * time), 2 * torch.cos(9 * time) - time), 1),
    }
    assert set(slowest(layers, 2)) <= {"b, 0", "b, 1", "a, 1"}
    assert list(slowest(layers))[2] == "a, 0" and len(slowest(layers)) == 3  # not the line, nor what is alike
    assert slowest({"a": torch.rand(1, 3)}) == {}
    assert memories(MODELS["transformer"](9), torch.zeros((3, 1), dtype=torch.int64)) == {}


def test_generation_speed():
    assert generation_speed(made().model, torch.device("cpu"), 5) > 1
