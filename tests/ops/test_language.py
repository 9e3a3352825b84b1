"""The op of a streamed language model against its oracle, and what it refuses."""

import pytest
import torch

import spikeseq
from spikeseq import compile_events
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.ops.language import fused, plain

CASES = {
    "one token": {"layers": 2},
    "shift": {"layers": 2, "kernel_size": 4},
    "two tokens, hard": {"layers": 1, "kernel_size": 2, "reset": "hard"},
    "ngrams": {"layers": 2, "kernel_size": 3, "ngrams": [2, 4, 5], "ngram_rows": 7},
    "substeps": {"layers": 3, "kernel_size": 3, "substeps": 3, "reset": "soft_immediate"},
}


@pytest.fixture(scope="module", autouse=True)
def kernel():
    """The ops are called directly here, which loads nothing."""
    spikeseq.build("cpu")


def streamed(case, dtype=torch.float64):
    torch.manual_seed(0)
    model = SpikingLanguageModel(11, embedding_size=13, neurons=37, **CASES[case]).to(dtype)
    for block in model.blocks:  # nothing that starts at zero may be left out
        torch.nn.init.normal_(block.to_stream.bias)
        torch.nn.init.normal_(block.layer.input_map.bias, std=0.3)
        torch.nn.init.normal_(block.norm.bias, std=0.3)
    torch.nn.init.normal_(model.output_bias)
    return model.eval(), compile_events(model)


def arguments(stream):
    return stream.ends(), [block.parts() for block in stream.blocks]


TEXT = torch.randint(0, 11, (17, 3), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_is_its_oracle(case, dtype):
    _, stream = streamed(case, dtype)
    state = stream.start(3)
    found = fused(TEXT, *arguments(stream), state, stream.neurons)
    expected = plain(TEXT, *arguments(stream), state, stream.neurons)
    torch.testing.assert_close(found, expected)
    assert (
        expected[2].min() > 0 and not state[0].any() and not state[1][0][0].any()
    )  # a state that comes in is not written into


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_model(case):
    model, stream = streamed(case)
    with torch.no_grad():
        torch.testing.assert_close(stream(TEXT)[0], model(TEXT)[0])


@pytest.mark.parametrize("case", CASES)
def test_streamed_is_whole_bit_for_bit(case):
    _, stream = streamed(case, torch.float32)
    whole, last = stream(TEXT)
    state, rows = None, []
    for token in TEXT:
        row, state = stream(token.unsqueeze(0), state)
        rows.append(row)
    assert torch.equal(torch.cat(rows), whole)
    torch.testing.assert_close(state, last, rtol=0, atol=0)


def test_rows_of_a_batch_do_not_touch_each_other():
    _, stream = streamed("shift", torch.float32)
    whole, _ = stream(TEXT)
    assert torch.equal(stream(TEXT[:, 1:2])[0], whole[:, 1:2])


def test_reads_are_a_row_for_every_spike():
    _, stream = streamed("substeps")
    ends, blocks = arguments(stream)
    _, _, spikes = plain(TEXT, ends, blocks, stream.start(3), stream.neurons)
    stream(TEXT)
    assert [block.back.reads for block in stream.blocks] == (13 * spikes).tolist()


def test_what_does_not_fit_is_refused():
    _, stream = streamed("shift")
    ends, blocks = arguments(stream)
    state = stream.start(3)
    with pytest.raises(IndexError, match=r"tokens must lie in \[0, 11\), got 11"):
        fused(TEXT.clamp(max=0) + 11, ends, blocks, state, stream.neurons)
    with pytest.raises(ValueError, match=r"membrane of layer 0 must be \[2, 37\], got \[3, 37\]"):
        fused(TEXT[:, :2], ends, blocks, state, stream.neurons)
    with pytest.raises(ValueError, match=r"back of layer 1 must be \[37, 13\]"):
        wrong = [blocks[0], blocks[1]._replace(back=torch.zeros(36, 13).double())]
        fused(TEXT, ends, wrong, state, stream.neurons)
    with pytest.raises(ValueError, match="as many of each part as blocks"):
        fused(TEXT, ends, blocks, (state[0], state[1][:1]), stream.neurons)
    grams = ends._replace(ngrams=torch.zeros(6, 13).double(), orders=[2, 4])
    with pytest.raises(ValueError, match=r"recent must be \[3, 3\], got \[3, 0\]"):
        fused(TEXT, grams, blocks, state, stream.neurons)
    with pytest.raises(ValueError, match=r"orders of n-grams must rise from 2 on, got \[4, 2\]"):
        fused(TEXT, grams._replace(orders=[4, 2]), blocks, state, stream.neurons)
    with pytest.raises(ValueError, match="as many rows for each of 2 orders"):
        fused(TEXT, grams._replace(ngrams=torch.zeros(5, 13).double()), blocks, state, stream.neurons)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decay": "input"}, "computes its leaks"),
        ({"recurrent": True}, "has feedback"),
        ({"mixer": 4}, "has a mixer"),
    ],
    ids=["decay", "feedback", "mixer"],
)
@torch.no_grad()
def test_other_models_have_their_maps_of_spikes_driven_by_events(change, reason):
    from spikeseq.models.language.stream import StreamedLanguageModel, unfit

    torch.manual_seed(0)
    model = SpikingLanguageModel(11, embedding_size=8, neurons=12, layers=1, **change).double().eval()
    assert reason in unfit(model)
    with pytest.raises(TypeError, match=reason):
        StreamedLanguageModel(model)
    events = compile_events(model)
    torch.testing.assert_close(events(TEXT)[0], model(TEXT)[0])


def test_a_hooked_part_is_named():
    model, _ = streamed("shift")
    model.blocks[0].layer.input_map.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=r"blocks\.0\.layer\.input_map \(Linear\) has forward hooks"):
        compile_events(model)


class Doubled(SpikingLanguageModel):
    def embed(self, tokens):
        return super().embed(tokens) * 2


@pytest.mark.parametrize("path", ["", "blocks.0", "blocks.0.dropout", "embedding_dropout", "output_dropout"])
def test_a_hook_on_what_the_op_stands_for_is_refused(path):
    model, _ = streamed("shift")
    model.get_submodule(path).register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=f"{path or 'the model'} .* has forward hooks"):
        compile_events(model)


def test_a_subclass_that_embeds_otherwise_is_refused():
    model = Doubled(11, embedding_size=8, neurons=12, layers=1)
    with pytest.raises(ValueError, match=r"the model \(Doubled\) .* embed of its own"):
        compile_events(model)


CHANGED = {
    "epsilon": lambda model: setattr(model.norm, "eps", 0.5),
    "epsilon of a block": lambda model: setattr(model.blocks[1].norm, "eps", 0.5),
    "no weight": lambda model: setattr(
        model.blocks[1], "norm", torch.nn.LayerNorm(13, elementwise_affine=False)
    ),
    "no bias": lambda model: setattr(model.blocks[1].to_stream, "bias", None),
    "reset": lambda model: setattr(model.blocks[1].layer.lif, "reset", "hard"),
    "substeps": lambda model: setattr(model.blocks[1], "substeps", 2),
    "norm_input": lambda model: setattr(model.blocks[1].layer.lif, "norm_input", True),
    "norm": lambda model: setattr(model.blocks[1].layer, "norm", torch.nn.LayerNorm(37).double()),
    "max_norm": lambda model: setattr(model.embedding, "max_norm", 0.1),
    "dropout": lambda model: setattr(model.blocks[1], "dropout", torch.nn.Tanh()),
    "output": lambda model: setattr(model, "output_dropout", torch.nn.Tanh()),
}


@pytest.mark.parametrize("change", CHANGED)
@torch.no_grad()
def test_a_changed_model_gives_what_it_gives(change):
    model, _ = streamed("shift")
    before = model(TEXT)[0]
    CHANGED[change](model)
    assert not torch.allclose(model(TEXT)[0], before)
    torch.testing.assert_close(compile_events(model)(TEXT)[0], model(TEXT)[0])


@pytest.mark.parametrize(
    "bad",
    [TEXT.float(), TEXT[:, 0], TEXT[:0]],
    ids=["float", "no batch", "empty"],
)
def test_tokens_are_checked_as_the_model_does(bad):
    model, stream = streamed("shift")
    with pytest.raises((TypeError, ValueError), match="tokens must be") as expected:
        model(bad)
    with pytest.raises(expected.type, match="tokens must be"):
        stream(bad)
    assert torch.equal(stream(TEXT.int())[0], stream(TEXT)[0])


def test_the_state_of_the_model_it_was_made_from_is_refused():
    model, stream = streamed("one token")
    with pytest.raises(ValueError, match="state must be what this model returned, of 2 blocks"):
        stream(TEXT, model(TEXT)[1])


def test_shapes_of_a_model_driven_by_events():
    model = SpikingLanguageModel(11, embedding_size=8, neurons=12, layers=1, decay="input")
    assert compile_events(model).to("meta")(TEXT.to("meta"))[0].shape == (17, 3, 11)
