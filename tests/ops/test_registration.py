"""The op as a citizen of PyTorch: opcheck, compile, functorch, autocast, checkpoint, copies."""

import copy
import io

import pytest
import torch
from lif_case import DTYPES, Case, gradients, random_grads
from torch.utils.checkpoint import checkpoint

from spikeseq.functional import READOUTS, RESETS, SURROGATES, ApproximateLIF, SpikeTime, lif
from spikeseq.nn import LIF, Integrator, LIFCell, SpikingRNN, SpikingRNNCell

ARGUMENTS = {
    "plain": Case(),
    "float64, substeps": Case(20, dtype=torch.float64, substeps=3, reset="hard"),
    "half": Case(dtype=torch.bfloat16, substeps=2),
    "ragged": Case(ragged=True, substeps=2, channels=(6, 6)),
    "rate": Case(readout="rate", substeps=4, reset="soft_immediate"),
    "membrane, ragged": Case(readout="membrane", substeps=4, ragged=True, detach_reset=True),
    "norm_input": Case(substeps=2, channels=(6, 1), norm_input=True),
    "leak of tokens": Case(substeps=2, ragged=True, channels=(1, 6), leak_rows=True),
    "leak of tokens, norm_input": Case(dtype=torch.bfloat16, leak_rows=True, norm_input=True),
    "memory": Case(surrogate=ApproximateLIF(), channels=(1, 6)),
    "memory of one": Case(surrogate=SpikeTime(), channels=(1, 6)),
}


def parameters(case, x):
    """Leaks and thresholds as the op takes them."""
    leak, threshold = (t.detach().clone() for t in (x.leak, x.threshold))
    if case.leak_rows:
        return [leak, threshold]
    return [t.expand(max(case.channels)).clone() for t in (leak, threshold)]


@pytest.mark.parametrize("case", ARGUMENTS.values(), ids=ARGUMENTS)
def test_opcheck_of_lif(device, case):
    case = copy.copy(case)
    object.__setattr__(case, "device", device)
    x = case.inputs()
    leak, threshold = (p.requires_grad_() for p in parameters(case, x))
    torch.library.opcheck(
        torch.ops.spikeseq.lif.default, (x.current, x.state, leak, threshold, x.lengths, *case.options)
    )


@pytest.mark.parametrize("case", ARGUMENTS.values(), ids=ARGUMENTS)
def test_opcheck_of_its_backward(case):
    x = case.inputs()
    args = [t if t is None else t.detach() for t in x]
    args[2:4] = parameters(case, x)
    out, final, checkpoints = torch.ops.spikeseq.lif(*args, *case.options)
    grads = random_grads(out, final)
    torch.library.opcheck(
        torch.ops.spikeseq.lif_backward.default,
        (*grads, args[0], checkpoints, final, *args[2:], *case.options),
    )


def test_saved_membranes_are_as_far_apart_here_as_in_the_kernel():
    from spikeseq.ops.build import CSRC
    from spikeseq.ops.lif import INTERVAL

    assert f"constexpr int kInterval = {INTERVAL};" in (CSRC / "problem.h").read_text()


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("case", ARGUMENTS.values(), ids=ARGUMENTS)
def test_compile_of_the_function(case, dynamic):
    torch._dynamo.reset()
    x = case.inputs()
    compiled = torch.compile(lambda x: case.op(x), backend="aot_eager", fullgraph=True, dynamic=dynamic)
    eager, traced = case.op(x), compiled(x)
    grads = random_grads(*eager)
    for a, b in zip(
        (*eager, *gradients(eager, x, grads)), (*traced, *gradients(traced, x, grads)), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "layer",
    [
        SpikingRNN(4, 5, num_layers=2, bidirectional=True),
        SpikingRNN(4, 5, recurrent=True, readout="rate", norm="layer", substeps=2),
        torch.nn.Sequential(torch.nn.Linear(4, 5), LIF(5, substeps=2)),
    ],
    ids=["stacked", "recurrent", "sequential"],
)
def test_compile_of_modules(layer):
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(3, 2, 4)
    for a, b in zip(layer(x), compiled(x), strict=True):
        torch.testing.assert_close(a, b)


def test_compile_with_lengths():
    torch._dynamo.reset()
    layer = SpikingRNN(4, 5, bidirectional=True)
    x, lengths = torch.randn(6, 3, 4), torch.tensor([6, 0, 3])
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for a, b in zip(layer(x, lengths=lengths), compiled(x, lengths=lengths), strict=True):
        torch.testing.assert_close(a, b)


def test_compile_by_inductor():
    torch._dynamo.reset()
    case = Case(dtype=torch.float64, substeps=2)
    x = case.inputs()

    def loss(x):
        return (3 * case.op(x)[0]).sum()

    # Compiled programs are kept on disk by the names of ops, whatever shapes these had in former versions.
    with torch._inductor.config.patch(force_disable_caches=True):
        compiled = torch.compile(loss, fullgraph=True)
        torch.testing.assert_close(compiled(x), loss(x))
        found, expected = (torch.autograd.grad(f(x), x.leaves) for f in (compiled, loss))
        torch.testing.assert_close(found, expected)


def test_functional_grad_and_functional_call():
    layer = torch.nn.Sequential(torch.nn.Linear(4, 5), LIFCell(substeps=3))
    parameters = dict(layer.named_parameters())
    x = torch.randn(2, 4)

    def loss(parameters, x):
        out, state = torch.func.functional_call(layer, parameters, (x,))
        return out.sum() + state.square().sum()

    found = torch.func.grad(loss)(parameters, x)
    loss(parameters, x).backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad)
    by_input, value = torch.func.grad_and_value(lambda x: lif(x, leak=0.5, threshold=1.0)[0].sum())(x)
    assert by_input.shape == x.shape and value.shape == ()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "options", [{}, {"recurrent": True}, {"norm": "layer"}, {"readout": "spikes"}], ids=str
)
def test_autocast_keeps_the_membrane_in_float32(device, half, options):
    torch.manual_seed(0)
    layer = SpikingRNN(8, 16, num_layers=2, **options).to(device)
    x = torch.randn(5, 3, 8, device=device)
    with torch.autocast(device, half):
        out, state = layer(x)
        assert state.dtype == torch.float32
        out, state = layer(x, state)  # and it can be handed on
        half_input, _ = layer(x.to(half))
    if "norm" not in options:  # a LayerNorm returns float32 under autocast
        assert out.dtype == half_input.dtype == half
    (out.float().sum() + state.sum()).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(reentrant):
    case = Case(12, dtype=torch.float64, substeps=2, ragged=True)
    x = case.inputs()
    plain = case.op(x)
    saved = checkpoint(lambda *leaves: case.op(x._replace(**dict(zip(x._fields, leaves, strict=False)))),
                       *x.leaves, use_reentrant=reentrant)  # fmt: skip
    grads = random_grads(*plain)
    expected = gradients(plain, x, grads)
    torch.autograd.backward(saved, grads)
    for leaf, grad in zip(x.leaves, expected, strict=True):
        assert torch.equal(leaf.grad, grad)


def test_a_second_derivative_is_refused_clearly():
    case = Case()
    x = case.inputs()
    out, _ = case.op(x)
    (grad,) = torch.autograd.grad(out.sum(), x.current, create_graph=True)
    with pytest.raises(NotImplementedError, match="can be differentiated once"):
        grad.sum().backward()


def test_gradient_can_be_taken_twice_from_a_retained_graph():
    x = Case().inputs()
    out, _ = Case().op(x)
    first = torch.autograd.grad(out.sum(), x.current, retain_graph=True)
    assert torch.equal(first[0], torch.autograd.grad(out.sum(), x.current)[0])


MODULES = [
    LIF(5, substeps=2, reset="hard"), LIF(learn_leak=False), LIFCell(), Integrator(3), SpikingRNNCell(4, 5),
    SpikingRNN(4, 5, 2, bidirectional=True, recurrent=True, norm="layer", per_channel=True),
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda m: type(m).__name__)
def test_copies_and_state_dicts(module):
    features = 4 if isinstance(module, SpikingRNN | SpikingRNNCell) else 5
    x = (
        torch.randn(6, features)
        if isinstance(module, LIFCell | SpikingRNNCell)
        else torch.randn(3, 6, features)
    )
    expected = module(x)
    copied = copy.deepcopy(module)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    loaded = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.mul_(0.5)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for other in (copied, loaded):
        for a, b in zip(expected, other(x), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)
def test_the_kernel_knows_every_surrogate(surrogate):
    case = Case(2, (1, 2), surrogate=surrogate())
    x = case.inputs()
    try:
        gradients(case.op(x), x, random_grads(*case.op(x)))
    except ValueError as error:
        pytest.fail(
            f"{surrogate.__name__} stands in SURROGATES, and the kernel does not know {surrogate.name!r}"
            f" ({error}): add it there as well (CONTRIBUTING.md, Adding a surrogate)"
        )


@pytest.mark.parametrize("kind", SURROGATES.values(), ids=SURROGATES)
def test_a_surrogate_with_a_formula_of_its_own_is_not_taken_for_that_of_its_name(kind):
    class Mine(kind):
        def slope(self, z, memory):
            return z

    class Renamed(kind):
        """Other defaults only."""

    with pytest.raises(TypeError, match="with a formula of its own"):
        LIF(surrogate=Mine())
    LIF(surrogate=Renamed(height=2.0))


def test_every_choice_reaches_the_kernel():
    """Names are matched to the kernel's enumerations by position: none may be unknown there."""
    for reset in RESETS:
        for readout in READOUTS:
            for surrogate in SURROGATES.values():
                for dtype in DTYPES:
                    case = Case(2, (1, 2), dtype, 1, reset, surrogate(), readout)
                    assert case.op(case.inputs())[0].dtype == dtype
