"""The op of a streamed language model against its oracle, and what it refuses."""

import pytest
import torch

import spikeseq
from spikeseq import compile_events
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.ops.language import Ends, fused, plain

CASES = {
    "one token": {"layers": 2},
    "shift": {"layers": 2, "kernel_size": 4},
    "two tokens, hard": {"layers": 1, "kernel_size": 2, "reset": "hard"},
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
    ends = Ends(stream.table, stream.scale, stream.gain, stream.offset, stream.output_bias)
    return ends, [block.parts() for block in stream.blocks]


TEXT = torch.randint(0, 11, (17, 3), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_is_its_oracle(case, dtype):
    _, stream = streamed(case, dtype)
    state = [block.start(3) for block in stream.blocks]
    found = fused(TEXT, *arguments(stream), state, stream.neurons)
    expected = plain(TEXT, *arguments(stream), state, stream.neurons)
    torch.testing.assert_close(found, expected)
    assert expected[2].min() > 0 and not state[0][0].any()  # a state that comes in is not written into


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
    assert all(
        torch.equal(a, b)
        for one, other in zip(state, last, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_rows_of_a_batch_do_not_touch_each_other():
    _, stream = streamed("shift", torch.float32)
    whole, _ = stream(TEXT)
    assert torch.equal(stream(TEXT[:, 1:2])[0], whole[:, 1:2])


def test_reads_are_a_row_for_every_spike():
    _, stream = streamed("substeps")
    ends, blocks = arguments(stream)
    _, _, spikes = plain(TEXT, ends, blocks, [block.start(3) for block in stream.blocks], stream.neurons)
    stream(TEXT)
    assert [block.back.reads for block in stream.blocks] == (13 * spikes).tolist()


def test_what_does_not_fit_is_refused():
    _, stream = streamed("shift")
    ends, blocks = arguments(stream)
    state = [block.start(3) for block in stream.blocks]
    with pytest.raises(IndexError, match=r"tokens must lie in \[0, 11\), got 11"):
        fused(TEXT.clamp(max=0) + 11, ends, blocks, state, stream.neurons)
    with pytest.raises(ValueError, match=r"membrane of layer 0 must be \[2, 37\], got \[3, 37\]"):
        fused(TEXT[:, :2], ends, blocks, state, stream.neurons)
    with pytest.raises(ValueError, match=r"back of layer 1 must be \[37, 13\]"):
        wrong = [blocks[0], blocks[1]._replace(back=torch.zeros(36, 13).double())]
        fused(TEXT, ends, wrong, state, stream.neurons)
    with pytest.raises(ValueError, match="as many of each part as blocks"):
        fused(TEXT, ends, blocks, state[:1], stream.neurons)


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
