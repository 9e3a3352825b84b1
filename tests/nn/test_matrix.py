"""Every public module and model, in every surrounding that torch has for modules."""

import copy
import io
import math
import pickle
from itertools import chain

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo import ROWS, public_modules, tensors_of

from spikeseq.nn import LIF

EVERY = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def test_every_public_module_has_a_row():
    assert {row.kind for row in ROWS.values()} == public_modules()


def made(row, mode="eval", **to):
    torch.manual_seed(0)
    return row.make().train(mode == "train").to(**to)


def reset(model):
    """As whoever fills a model that was made without memory: every module, parents first."""
    torch.manual_seed(1)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


# case 3.3
@EVERY
def test_a_model_made_without_memory_becomes_a_fresh_one(row):
    fresh = made(row)
    with torch.device("meta"):
        model = row.make()
    kept = {name for name, tensor in model.named_buffers() if not tensor.is_meta}
    assert not kept and {p.device.type for p in model.parameters()} <= {"meta"}
    model = model.to_empty(device="cpu").eval()
    assert model.state_dict().keys() == fresh.state_dict().keys()
    assert len(list(model.parameters())) == len(list(fresh.parameters()))  # what is shared stays so
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.detach().fill_(7)
    reset(model)
    begun = fresh.state_dict()
    for name, value in model.state_dict().items():
        assert value.isfinite().all() and not (value == 7).any(), name
        constant = (begun[name] == begun[name].flatten()[0]).all() and begun[name].numel() > 1
        if constant or "leak" in name or "threshold" in name:
            assert torch.equal(value, begun[name]), name
    reset(fresh)
    for name, value in model.state_dict().items():
        if name != "context.weight":  # as wide as the map that it replaced happened to be
            assert torch.equal(value, begun[name]), name


def test_start_weights_are_those_of_the_constructor_in_any_order():
    """The deviation of each weight, which a module of torch would draw otherwise."""
    for name in ("SpikingRNN wide", "SpikingRNN feedback", "SpikingClassifier context", "ConvSeq2Seq"):
        row = ROWS[name]
        for order in (list, reversed):
            model, drawn = row.make(), {}
            for _ in range(10):
                for module in order(list(model.modules())):
                    if hasattr(module, "reset_parameters"):
                        module.reset_parameters()
                other = row.make()
                for kind, one in (("again", model), ("new", other)):
                    for key, value in one.named_parameters():
                        drawn.setdefault((key, kind), []).append(value.detach().flatten().clone())
            for key, _ in model.named_parameters():
                again, new = (torch.cat(drawn[key, kind]).std().item() for kind in ("again", "new"))
                assert again == pytest.approx(new, rel=0.4, abs=1e-6), key


@EVERY
def test_copies_pickles_and_state_dicts(row):
    model, (x, lengths) = made(row), row.inputs()
    expected = tensors_of(row.call(model, x, lengths))
    other = row.make().eval()
    other.load_state_dict(model.state_dict())
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    copies = (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False))
    for again in (other, *copies):
        found = tensors_of(row.call(again, x, lengths))
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    for one in copies:
        reset(one)  # of itself, not of what it was copied from
    again = tensors_of(row.call(model, x, lengths))
    assert all(torch.equal(a, b) for a, b in zip(expected, again, strict=True))


def total(outputs):
    """Of all that has a gradient: the source of backward passes."""
    wide = (out.to(torch.promote_types(out.dtype, torch.float32)) for out in outputs if out.requires_grad)
    return sum(out.square().mean() for out in wide)


def check_gradients(model, *inputs):
    for name, tensor in chain(model.named_parameters(), enumerate(inputs)):
        assert tensor.grad is None or tensor.grad.isfinite().all(), name


# case 3.4
@EVERY
def test_shapes_without_data(row, mode="train"):
    x, lengths = row.inputs()
    real, empty = made(row, mode), made(row, mode, device="meta")
    expected = tensors_of(row.call(real, x, lengths))
    found = tensors_of(row.call(empty, x.to("meta"), lengths.to("meta")))
    with FakeTensorMode():
        inside = row.make().train(mode == "train")
        repr(inside)
        fake = tensors_of(row.call(inside, *row.inputs()))
    with FakeTensorMode(allow_non_fake_inputs=True) as faking:
        around = tensors_of(row.call(real, faking.from_tensor(x), faking.from_tensor(lengths)))
    for want, *others in zip(expected, found, fake, around, strict=True):
        for other in others:
            # How many rows of a target count is known from data only.
            ours = slice(-1, None) if row.kind.endswith("Seq2Seq") else slice(None)
            assert other.shape[ours] == want.shape[ours] and other.dtype == want.dtype


# case 3.5
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, "autocast"])
@EVERY
def test_every_precision(row, dtype, mode="train"):
    (x, lengths), automatic = row.inputs(), dtype == "autocast"
    model = made(row, mode) if automatic else made(row, mode, dtype=dtype)
    if not (row.ids or automatic):
        x = x.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=automatic):
        outputs = tensors_of(row.call(model, x, lengths))
    assert all(out.isfinite().all() for out in outputs)
    assert dtype != torch.float64 or outputs[0].dtype == torch.float64
    if list(model.parameters()):
        total(outputs).backward()
    check_gradients(model)


# case 3.8
@pytest.mark.parametrize("mode, wrong", [("eval", math.inf), ("train", math.nan)])
@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.ragged], ids=lambda row: row.kind)
def test_what_is_behind_the_ends_reaches_nothing(row, wrong, mode):
    model, (x, lengths) = made(row, mode, dtype=torch.float64), row.inputs()
    past = torch.arange(len(x)).unsqueeze(1) >= lengths
    if row.ids:
        inputs, model.word_dropout = [], 0.0  # a dropped word is a padding that counts
        for name, table in model.named_parameters():
            if name in ("embedding.weight", "source_embedding.weight", "encoder.embedding.tokens.weight"):
                table.detach()[0] = wrong  # of the padding
    else:
        x = x.double()
        x[past.view(len(x), *[1] * (x.dim() - 3), 3, 1).expand_as(x)] = wrong
        inputs = [x.requires_grad_()]
    counted = []
    for out in tensors_of(row.call(model, x, lengths)):
        if len(out) % len(x) == 0 and out.dim() > 2 and out.shape[-2] == 3:  # a row for every token
            inside = torch.arange(len(out)).unsqueeze(1) < lengths * (len(out) // len(x))
            out = out[inside.view(len(out), *[1] * (out.dim() - 3), 3, 1).expand_as(out)]
        assert out.isfinite().all()
        counted.append(out)
    total(counted).backward()
    check_gradients(model, *inputs)


@pytest.mark.parametrize("frozen", [False, True])
@EVERY
def test_second_derivatives_of_spikes_are_refused(row, frozen):
    """A gradient penalty would count for nothing if gradients came as constants."""
    model, (x, lengths) = made(row, "train"), row.inputs()
    if row.ids or not any(isinstance(part, LIF) for part in model.modules()):
        return
    outputs = tensors_of(row.call(model.requires_grad_(not frozen), x.requires_grad_(), lengths))
    (by_x,) = torch.autograd.grad(total(outputs), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="can be differentiated once"):
        torch.autograd.grad(by_x.sum(), x, allow_unused=True)


@EVERY
def test_tensors_put_in_the_place_of_weights(row):
    """`load_state_dict(assign=True)`, into a model with memory and into one without."""
    model, (x, lengths) = made(row), row.inputs()
    expected = tensors_of(row.call(model, x, lengths))
    with torch.device("meta"):
        bare = row.make().eval()
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    for other in (bare, row.make().eval()):
        other.load_state_dict(saved, assign=True)
        assert len(list(other.parameters())) == len(list(model.parameters()))  # what is shared stays so
        assert all(p.requires_grad for p in other.parameters())
        found = tensors_of(row.call(other, x, lengths))
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
