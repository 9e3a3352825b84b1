"""The loops that CUDA threads run, compiled as plain C++, so that they are tested without a GPU."""

import itertools
import os
import re
from pathlib import Path

import pytest
import torch
from lif_case import DTYPES, Case, assert_gradients_close, gradients, random_grads
from torch.utils import cpp_extension

from spikeseq.functional import READOUTS, RESETS, SURROGATES
from spikeseq.neuron import Run
from spikeseq.nn.layer import SpikingLayer
from spikeseq.ops.build import CSRC, ninja_on_path
from spikeseq.ops.recurrent import KEPT, fits_block

pytestmark = pytest.mark.timeout(900)  # the first test waits for the compiler, where others compute, too


@pytest.fixture(scope="module")
def twin(pytestconfig):
    """The op's two functions under another name; built once and kept in pytest's cache."""
    library = torch.library.Library("spikeseq_twin", "DEF")
    for name in ("lif", "lif_backward", "lif_recurrent", "lif_recurrent_backward"):
        schema = getattr(torch.ops.spikeseq, name).default._schema
        library.define(str(schema).removeprefix("spikeseq::"))
    with ninja_on_path():
        cpp_extension.load(
            "spikeseq_cuda_twin",
            [str(Path(__file__).with_name("cuda_twin.cpp"))],
            extra_include_paths=[str(CSRC)],
            extra_cflags=["-O1", "-ffp-contract=off"],
            build_directory=os.fspath(pytestconfig.cache.mkdir(f"cuda_twin_{torch.__version__}")),
            is_python_module=False,
        )
    yield torch.ops.spikeseq_twin
    library._destroy()


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("surrogate", [cls() for cls in SURROGATES.values()], ids=list(SURROGATES))
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d)[6:])
def test_twin_is_the_oracle(twin, reset, surrogate, dtype):
    explodes = reset == "hard" and surrogate.memory_planes  # in half precision, up to infinity
    sizes = ((1, 1), (4, 3)) if explodes else ((1, 1), (17, 1), (11, 3))
    for i, ((rows, substeps), ragged, readout) in enumerate(
        itertools.product(sizes, (False, True), READOUTS)
    ):
        case = Case(
            rows, (5, 3, 2), dtype, substeps, reset, surrogate, readout,
            ragged=ragged, channels=(3, 3) if i % 2 else (1, 1), detach_reset=i % 3 == 0,
            norm_input=i % 4 == 3,
        )  # fmt: skip
        x = case.inputs()
        detached = [t if t is None else t.detach() for t in x]
        out, final, checkpoints = twin.lif(*detached, *case.options)
        wide = dtype in (torch.float32, torch.float64)
        results = case.oracle(x) if wide else case.oracle_forward()
        assert torch.equal(out, results[0]) and torch.equal(final, results[1])

        grads = random_grads(*results)
        ours = twin.lif_backward(*grads, detached[0], checkpoints, final, *detached[2:], *case.options)
        if wide:
            tolerance = 1e-10 if dtype == torch.float64 else 2e-4
            assert_gradients_close(list(ours), gradients(results, x, grads), tolerance)
        else:  # the oracle accumulates a current's gradient in half precision; the kernel once, at the end
            native = gradients(case.op(x), x, grads)
            torch.testing.assert_close(ours[0], native[0], rtol=2 * torch.finfo(dtype).eps, atol=1e-3)
            assert_gradients_close([native[0], *ours[1:]], native, 2e-4)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("surrogate", [cls() for cls in SURROGATES.values()], ids=list(SURROGATES))
def test_twin_of_leaks_of_tokens_is_the_oracle(twin, reset, surrogate):
    explodes = reset == "hard" and surrogate.memory_planes
    sizes = ((1, 1), (4, 3)) if explodes else ((1, 1), (37, 1), (11, 3), (5, 20))
    for i, ((rows, substeps), ragged) in enumerate(itertools.product(sizes, (False, True))):
        for dtype in (torch.float64, torch.bfloat16):
            case = Case(
                rows, (5, 3, 2), dtype, substeps, reset, surrogate, READOUTS[i % 3], ragged=ragged,
                channels=(1, 3 if i % 2 else 1), detach_reset=i % 3 == 0, leak_rows=True,
                norm_input=i % 4 > 1,
            )  # fmt: skip
            x = case.inputs()
            detached = [t if t is None else t.detach() for t in x]
            out, final, checkpoints = twin.lif(*detached, *case.options)
            results = case.op(x)  # held against the oracle elsewhere
            assert torch.equal(out, results[0]) and torch.equal(final, results[1])
            grads = random_grads(*results)
            native = gradients(results, x, grads)
            ours = twin.lif_backward(*grads, detached[0], checkpoints, final, *detached[2:], *case.options)
            assert_gradients_close(list(ours), native, 1e-10 if dtype == torch.float64 else 1e-2)


@pytest.mark.parametrize("leak_rows", [False, True], ids=["", "leak of tokens"])
def test_lengths_out_of_range_stay_inside_the_arrays(twin, leak_rows):
    """A GPU does not check values; it must not read past its memory either."""
    case = Case(5, (3, 4), substeps=2, ragged=True, leak_rows=leak_rows)
    x = [t if t is None else t.detach() for t in case.inputs()]
    x[4] = torch.tensor([-7, 10**6, 5])
    out, final, checkpoints = twin.lif(*x, *case.options)
    x[4] = torch.tensor([0, 5, 5])
    expected = twin.lif(*x, *case.options)
    assert torch.equal(out, expected[0]) and torch.equal(final, expected[1])
    grads = random_grads(out, final)
    x[4] = torch.tensor([-7, 10**6, 5])
    twin.lif_backward(*grads, x[0], checkpoints, final, *x[2:], *case.options)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("hidden", [1, 13, 33, 70])
def test_twin_of_the_feedback_is_the_loop(twin, reset, readout, hidden):
    generator = torch.Generator().manual_seed(hidden)
    draw = lambda *size: torch.randn(size, generator=generator, dtype=torch.float64)  # noqa: E731
    for i, (rows, substeps, ragged) in enumerate(itertools.product((1, 7), (1, 3), (False, True))):
        layer = SpikingLayer(
            2, hidden, True, recurrent=True, reset=reset, detach_reset=i % 3 == 0,
            channels=hidden if i % 2 else None, dtype=torch.float64,
        )  # fmt: skip
        with torch.no_grad():
            layer.feedback.weight.copy_(2 * draw(hidden, hidden) / hidden**0.5)
            layer.lif.leak.mul_(0.6)
        current = (2 * draw(rows, 4, hidden)).requires_grad_()
        state = (2 * draw(4, hidden)).requires_grad_()
        lengths = torch.tensor([rows, 0, rows // 2, rows]) if ragged else None
        weight, leak, threshold = layer.feedback.weight, layer.lif.leak, layer.lif.threshold
        inputs = [current, state, weight, leak, threshold]
        expected = layer._step_by_step(current, state, Run(substeps, substeps, readout, lengths))
        grads = random_grads(*expected)
        by_loop = torch.autograd.grad(expected, inputs, grads)

        neuron = layer.lif.neuron()
        window = 1 if readout == "spikes" else substeps
        options = (
            substeps, window, reset, readout, *neuron.kind()[1:],
        )  # fmt: skip
        plain = [t.detach() for t in inputs]
        out, final, membranes = twin.lif_recurrent(*plain, lengths, *options)
        torch.testing.assert_close((out, final), tuple(t.detach() for t in expected), rtol=1e-10, atol=1e-10)
        ours = twin.lif_recurrent_backward(*grads, membranes, *plain[2:], lengths, *options)
        for found, wanted in zip(ours, by_loop, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_scratch_of_a_sequence_is_as_python_has_it():
    found = re.search(r"return \((\d+) \+ 2 \* kAhead\)", (CSRC / "feedback_loop.h").read_text())
    ahead = re.search(r"constexpr int kAhead = (\d+);", (CSRC / "feedback_loop.h").read_text())
    assert int(found[1]) + 2 * int(ahead[1]) == KEPT
    assert fits_block(512, 4) and fits_block(512, 8) and not fits_block(2000, 4)
