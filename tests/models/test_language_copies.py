"""Language models in copies, files and half precision; second derivatives are refused."""

import copy
import io
import pickle

import pytest
import torch

from spikeseq.models.language import SpikingLanguageModel

KINDS = {"fixed": {}, "input": {"decay": "input"}, "ngrams": {"ngrams": [2, 3], "ngram_rows": 20}}


def made(kind):
    torch.manual_seed(0)
    return SpikingLanguageModel(11, embedding_size=8, neurons=12, layers=1, kernel_size=3, **KINDS[kind])


def tokens():
    return torch.randint(0, 11, (4, 3), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_copies_give_the_same(kind):
    model = made(kind)
    expected, _ = model(tokens())
    expected.sum().backward()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        assert torch.equal(other(tokens())[0], expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_near(kind, dtype):
    model = made(kind)
    expected = model(tokens())[0].detach()
    out, state = model.to(dtype)(tokens())
    assert out.dtype == dtype and model(tokens(), state)[0].dtype == dtype
    torch.testing.assert_close(out.detach().float(), expected, atol=0.05, rtol=0.05)
    out.float().square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_refused(kind):
    model = made(kind)
    parameters = list(model.parameters())
    loss = model(tokens())[0].square().sum()
    with pytest.raises(NotImplementedError, match=r"differentiated once|derivative for"):
        grads = torch.autograd.grad(loss, parameters, create_graph=True)
        torch.autograd.grad(sum(grad.square().sum() for grad in grads), parameters)


@torch.no_grad()
def test_a_traced_model_gives_the_same():
    model = made("input")
    expected, state = model(tokens())
    traced = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(traced(tokens())[0], expected)
    torch.testing.assert_close(traced(tokens(), state)[0], model(tokens(), state)[0])
