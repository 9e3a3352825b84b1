"""The rule of `lif` for vmap against a loop: every argument mapped or not, and gradients apart."""

import itertools

import pytest
import torch
from torch.func import grad, jvp, vmap

from spikeseq.functional import READOUTS, ApproximateLIF, SpikeTime, lif

N, L, B, C = 3, 20, 2, 4


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))) * 0.7


ARGUMENTS = {
    "current": (draw(L, B, C), draw(N, L, B, C)),
    "state": (None, draw(N, B, C)),
    "leak": (torch.rand(1), torch.rand(N, C), torch.rand(N, L, B, C), torch.rand(L, B, C)),
    "threshold": (torch.rand(C) + 0.5, torch.rand(N, 1) + 0.5),
}


def call(arguments, **options):
    arguments = dict(arguments)
    return lif(arguments.pop("current"), arguments.pop("state"), **arguments, substeps=2, **options)


def cases():
    for given in itertools.product(*ARGUMENTS.values()):
        chosen = dict(zip(ARGUMENTS, given, strict=True))
        dims = {key: None if value is None or len(value) != N else 0 for key, value in chosen.items()}
        if any(dim == 0 for dim in dims.values()):
            yield pytest.param(chosen, dims, id=str([key for key, dim in dims.items() if dim == 0]))


def taken(arguments, dims, i):
    return {k: v if dims[k] is None else v.select(dims[k], i) for k, v in arguments.items()}


@pytest.mark.parametrize("arguments, dims", list(cases()))
def test_it_is_a_loop(arguments, dims):
    found = vmap(call, (dims,))(arguments)
    expected = [call(taken(arguments, dims, i)) for i in range(N)]
    for a, b in zip(found, zip(*expected, strict=True), strict=True):
        assert torch.equal(a, torch.stack(b))

    def loss(arguments):
        out, final = call(arguments)
        return (out * torch.arange(out.numel()).view(out.shape)).sum() + final.square().sum()

    given = {k: v for k, v in arguments.items() if v is not None}
    rest = {k: None for k in arguments if k not in given}
    by = vmap(grad(lambda given: loss({**given, **rest})), ({k: dims[k] for k in given},))(given)
    for i in range(N):
        one = grad(lambda given: loss({**given, **rest}))(taken(given, dims, i))
        for key in one:
            torch.testing.assert_close(by[key][i], one[key], rtol=1e-4, atol=1e-3)
            assert key in ("leak", "threshold") or torch.equal(by[key][i], one[key]), key


@pytest.mark.parametrize("shape", [(L, B), (L, B, 3, 2), (L, 0, 3), (L, B, 0)], ids=str)
@pytest.mark.parametrize("surrogate", [SpikeTime(), ApproximateLIF()], ids=lambda s: s.name)
def test_neurons_of_every_shape_and_those_that_remember(shape, surrogate):
    options = {"leak": 0.9, "threshold": 0.5, "surrogate": surrogate}
    x = draw(*shape, N)
    for readout in READOUTS:

        def run(x, readout=readout):
            return lif(x, readout=readout, substeps=2, **options)

        for a, b in zip(vmap(run, -1)(x), zip(*map(run, x.unbind(-1)), strict=True), strict=True):
            assert torch.equal(a, torch.stack(b))

        def loss(x, run=run):
            out, final = run(x)
            return out.square().sum() + final[0].sum()

        by = vmap(grad(loss), -1)(x)
        assert torch.equal(by, torch.stack([grad(loss)(one) for one in x.unbind(-1)]))


def test_maps_inside_maps_and_gradients_around_them():
    x, leak = draw(N, 2, L, B, C), torch.rand(2)

    def run(x, leak):
        return lif(x, leak=leak, threshold=0.5)[0]

    nested = vmap(vmap(run), (0, None))(x, leak)
    for i, j in itertools.product(range(N), range(2)):
        assert torch.equal(nested[i, j], run(x[i, j], leak[j]))
    around = grad(lambda leak: vmap(vmap(run), (0, None))(x, leak).square().sum())(leak)
    for j in range(2):
        one = grad(lambda leak, j=j: sum(run(x[i, j], leak).square().sum() for i in range(N)))(leak[j])
        torch.testing.assert_close(around[j], one, rtol=1e-4, atol=1e-4)


def test_compiled():
    torch._dynamo.reset()
    x, leak = draw(N, L, B, C), torch.rand(C, requires_grad=True)

    def run(leak):
        return vmap(lambda x: lif(x, leak=leak, threshold=0.5)[0])(x)

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(leak), run(leak))
    found, expected = (torch.autograd.grad(f(leak).square().sum(), leak) for f in (compiled, run))
    torch.testing.assert_close(found, expected)


def test_compiled_gradients_of_torch_func():
    """Refused before torch 2.14, which cannot call an op's registered gradient there; else the same."""
    torch._dynamo.reset()
    x, leak = draw(L, B, C), torch.rand(C)
    by_leak = grad(lambda leak: lif(x, leak=leak, threshold=0.5)[0].square().sum())
    try:
        found = torch.compile(by_leak, backend="aot_eager")(leak)
    except RuntimeError as error:
        assert "torch.func" in str(error) or "functorch" in str(error)
        assert torch.__version__ < "2.14"
    else:
        torch.testing.assert_close(found, by_leak(leak))


def test_values_are_checked_inside_transforms():
    x, leaks = draw(N, L, B), torch.tensor([0.5, 1.5, 0.5])
    with pytest.raises(ValueError, match=r"leak must lie in \[0, 1\], got 1.5"):
        vmap(lambda x, leak: lif(x, leak=leak, threshold=1.0)[0])(x, leaks)
    with pytest.raises(ValueError, match=r"leak must lie in \[0, 1\], got 1.5"):
        jvp(lambda leak: lif(x[0], leak=leak, threshold=1.0)[0], (leaks[1],), (leaks[1],))
