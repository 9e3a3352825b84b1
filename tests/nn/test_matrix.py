"""Every public module and model, in every surrounding that torch has for modules."""

import copy
import io
import pickle

import pytest
import torch
from zoo import ROWS, public_modules, tensors_of

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
            for _ in range(40):
                for module in order(list(model.modules())):
                    if hasattr(module, "reset_parameters"):
                        module.reset_parameters()
                other = row.make()
                for kind, one in (("again", model), ("new", other)):
                    for key, value in one.named_parameters():
                        drawn.setdefault((key, kind), []).append(value.detach().flatten().clone())
            for key, _ in model.named_parameters():
                again, new = (torch.cat(drawn[key, kind]).std().item() for kind in ("again", "new"))
                assert again == pytest.approx(new, rel=0.25, abs=1e-6), key


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
