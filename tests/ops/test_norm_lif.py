"""The fused op against its composition of `layer_norm` and `lif`."""

import itertools

import pytest
import torch
from torch import Tensor

from spikeseq.functional import SURROGATES, norm_lif
from spikeseq.neuron import Neuron
from spikeseq.ops.norm_lif import composed

FORGETFUL = [name for name, kind in SURROGATES.items() if not kind.memory_planes]
CASES = list(
    itertools.product((1, 7, 33), (1, 4), (False, True), (False, True), ("soft", "soft_immediate", "hard"))
)


def inputs(length: int, repeats: int, *, batch: int = 3, channels: int = 10, per_channel: bool = False,
           persist: bool, ragged: bool, dtype: torch.dtype = torch.float64) -> dict:  # fmt: skip
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    neurons = channels if per_channel else 1
    leaves = {
        "currents": 2 * draw(length, repeats, batch, channels) + 1,
        "gain": 1 + 0.3 * draw(channels),
        "offset": 0.3 * draw(channels),
        "leak": torch.rand(neurons, generator=random, dtype=torch.float64),
        "threshold": 0.3 + torch.rand(neurons, generator=random, dtype=torch.float64),
    }
    if persist:
        leaves["state"] = draw(batch, channels)
    leaves = {name: value.to(dtype).requires_grad_() for name, value in leaves.items()}
    lengths = torch.arange(batch) * length // max(1, batch - 1) if ragged else None
    return {**leaves, "lengths": lengths}


def run(function, x: dict, persist: bool, reset: str, surrogate, detach: bool, substeps: int = 4):
    order = (x["gain"], x["offset"], x["leak"], x["threshold"], x["lengths"])
    if function is composed:
        neuron = Neuron(x["leak"], x["threshold"], reset, surrogate, detach)
        spikes, state = composed(
            x["currents"], x.get("state"), *order[:2], neuron, x["lengths"], substeps, persist, 1e-5
        )
    else:
        spikes, state = norm_lif(
            x["currents"], x.get("state"), gain=order[0], offset=order[1], leak=order[2], threshold=order[3],
            lengths=order[4], substeps=substeps, persist=persist, reset=reset, surrogate=surrogate,
            detach_reset=detach,
        )  # fmt: skip
    leaves = [value for value in x.values() if value is not None and value.requires_grad]
    random = torch.Generator().manual_seed(2)
    loss = (spikes * torch.randn(spikes.shape, generator=random, dtype=torch.float64)).sum()
    if persist:
        loss = loss + (state * torch.randn(state.shape, generator=random, dtype=torch.float64)).sum()
    return spikes, state, torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("length, repeats, persist, ragged, reset", CASES)
def test_the_kernel_agrees_with_layer_norm_and_lif(length, repeats, persist, ragged, reset):
    for name, per_channel, detach in zip(
        FORGETFUL, (False, True, True, False), (False, True, False, True), strict=True
    ):
        x = inputs(length, repeats, per_channel=per_channel, persist=persist, ragged=ragged)
        ours = run(norm_lif, x, persist, reset, SURROGATES[name](), detach)
        theirs = run(composed, x, persist, reset, SURROGATES[name](), detach)
        assert torch.equal(ours[0], theirs[0])
        assert 0 < ours[0].mean() < 1 or (ragged and length == 1)
        if persist:
            torch.testing.assert_close(ours[1], theirs[1], rtol=1e-10, atol=1e-10)
        for a, b in zip(ours[2], theirs[2], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_float32_flips_no_more_than_one_spike_in_ten_thousand():
    x = inputs(200, 4, batch=8, channels=64, persist=False, ragged=False, dtype=torch.float32)
    options = (False, "soft", SURROGATES["piecewise_linear"](), False)
    ours, theirs = run(norm_lif, x, *options), run(composed, x, *options)
    assert (ours[0] != theirs[0]).float().mean() <= 1e-4
    assert ours[0].dtype == torch.float32


def test_gradients_do_not_depend_on_the_number_of_threads():
    x = inputs(40, 4, batch=8, channels=64, persist=False, ragged=True)
    options = (False, "soft", SURROGATES["piecewise_linear"](), False)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(run(norm_lif, x, *options))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert torch.equal(results[0][0], other[0])
        assert all(torch.equal(a, b) for a, b in zip(results[0][2], other[2], strict=True))


def test_persisting_in_chunks_equals_the_whole():
    x = inputs(11, 4, persist=True, ragged=False)
    rest = {name: x[name] for name in ("gain", "offset", "leak", "threshold")}
    whole, end = norm_lif(x["currents"], x["state"], **rest, substeps=4, persist=True)
    state, parts = x["state"], []
    for chunk in x["currents"].split((1, 4, 6)):
        spikes, state = norm_lif(chunk, state, **rest, substeps=4, persist=True)
        parts.append(spikes)
    assert torch.equal(torch.cat(parts), whole) and torch.equal(state, end)


def test_parameters_that_are_not_contiguous():
    x = inputs(5, 1, per_channel=True, persist=False, ragged=False)
    rest = {name: x[name].detach() for name in ("gain", "offset", "leak", "threshold")}
    strided = {name: torch.stack((value, value + 9), 1)[:, 0] for name, value in rest.items()}
    assert not strided["gain"].is_contiguous()
    assert torch.equal(
        norm_lif(x["currents"], **rest, substeps=4)[0], norm_lif(x["currents"], **strided, substeps=4)[0]
    )


def test_a_second_derivative_is_refused():
    x = inputs(5, 1, persist=False, ragged=False)
    rest = {name: x[name] for name in ("gain", "offset", "leak", "threshold")}
    (grad,) = torch.autograd.grad(
        norm_lif(x["currents"], **rest, substeps=4)[0].square().sum(), x["currents"], create_graph=True
    )
    with pytest.raises(NotImplementedError, match="can be differentiated once"):
        torch.autograd.grad(grad.sum(), x["currents"])


def test_half_precision_runs_composed():
    x = inputs(5, 1, persist=False, ragged=False, dtype=torch.bfloat16)
    rest = {name: x[name] for name in ("gain", "offset", "leak", "threshold")}
    spikes, state = norm_lif(x["currents"], **rest, substeps=4)
    assert spikes.dtype == torch.bfloat16 and state is None
    assert set(spikes.unique().tolist()) == {0.0, 1.0}


def test_it_compiles_without_a_break():
    x = inputs(5, 1, persist=False, ragged=False, dtype=torch.float32)
    rest = {name: x[name].detach() for name in ("gain", "offset", "leak", "threshold")}

    def call(currents):
        return norm_lif(currents, **rest, substeps=4)[0]

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    currents = x["currents"].detach()
    assert torch.equal(compiled(currents), call(currents))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"currents": torch.zeros(3, 2, 4, 10)}, "currents must be"),
        ({"substeps": 0}, "substeps must be at least 1"),
        ({"reset": "softly"}, "reset must be one of"),
        ({"surrogate": SURROGATES["approximate_lif"]()}, "remembers"),
        ({"state": torch.zeros(3, 10)}, "persist=True"),
        ({"state": torch.zeros(2, 10), "persist": True}, r"state must have shape \(3, 10\)"),
        ({"leak": torch.tensor([1.5])}, "leak must lie in"),
        ({"threshold": torch.tensor([0.0])}, "threshold must be positive"),
        ({"lengths": torch.tensor([1, 9, 0])}, "lengths must lie in"),
        ({"lengths": torch.tensor([1, 2])}, r"lengths must have shape \(3,\)"),
        ({"lengths": torch.tensor([1.5, 2, 0])}, "lengths must be int64"),
        ({"gain": torch.ones(1)}, r"gain must have shape \(10,\)"),
        ({"leak": torch.ones(2)}, r"leak must have shape \(1,\) or \(10,\)"),
    ],
)
def test_bad_input(change, message):
    arguments = {
        "currents": torch.zeros(5, 1, 3, 10), "gain": torch.ones(10), "offset": torch.zeros(10),
        "leak": torch.tensor([0.9]), "threshold": torch.ones(1), "substeps": 4, **change,
    }  # fmt: skip
    with pytest.raises((TypeError, ValueError), match=message):
        norm_lif(**arguments)
