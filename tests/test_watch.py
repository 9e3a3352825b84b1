"""Watcher: what it sees and what it does not, and that it leaves nothing behind."""

import copy
import io
import pickle

import pytest
import torch
from torch import fx, nn
from torch.utils.checkpoint import checkpoint

from spikeseq.watch import Watcher, watched


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = nn.Module.__call__
    yield
    assert nn.Module.__call__ is before


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x, by=1.0, *more, shift=0.0, **rest):
        if by == 0:
            raise ZeroDivisionError
        return self.weight * x / by + shift


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Scale(), Scale()

    def forward(self, x, **options):
        return self.second(self.first(x), **options)


def watching(model, seen, **options):
    """A watcher that writes down the calls of the parts of a model that have ended."""
    return Watcher(dict(model.named_modules()), after=lambda call: seen.append(call.name), **options)


X = torch.ones(3)


def test_calls_from_inside_out_with_all_they_were_given():
    model, calls, begun = Two(), [], []
    with Watcher(dict(model.named_modules()), before=lambda c: begun.append(c.name), after=calls.append):
        out = model(x=X, shift=1.0)
    assert begun == ["", "first", "second"]
    assert [call.name for call in calls] == ["first", "second", ""]
    assert list(calls[1].arguments) == ["x", "shift"] and calls[1].arguments["shift"] == 1.0
    assert calls[2].output is out and calls[1].output is out
    assert calls[1].input is calls[0].output and calls[2].module is model


def test_arguments_are_ordered_as_in_forward_and_nameless_ones_have_their_place():
    scale, calls = Scale(), []
    with Watcher({"scale": scale}, after=calls.append):
        scale(by=2.0, x=X)
        scale(X, 2.0, 3.0, 4.0, other=5.0)
    assert list(calls[0].arguments) == ["x", "by"] and calls[0].input is X
    assert {k: v for k, v in calls[1].arguments.items() if k != "x"} == {
        "by": 2.0,
        "2": 3.0,
        "3": 4.0,
        "other": 5.0,
    }
    scale.forward = lambda anything: anything
    with Watcher({"scale": scale}, after=calls.append):
        scale(X)
    assert list(calls[2].arguments) == ["anything"]


def test_only_these_modules_are_watched():
    model, seen = Two(), []
    with Watcher({"one": model.first, "two": model.first}, after=lambda call: seen.append(call.name)):
        assert watched(model.first) and watched(model, model.first)
        assert not watched(model, model.second) and not watched()
        model(X)
        model.second = model.first  # at a second place
        model(X)
        model.first = Scale()  # put in later
        model(X)
    assert seen == ["one"] * 4
    assert not watched(model.second)


def test_watchers_overlap_and_nest_and_close_in_any_order():
    model, seen, other = Two(), [], []
    one, two = watching(model, seen), watching(model, other)
    model(X)
    one.close()
    one.close()
    model(X)
    with watching(model.first, inner := []):
        model(X)
    two.close()
    model(X)
    assert (len(seen), len(other), len(inner)) == (3, 9, 1)
    assert not watched(*model.modules())


def test_closed_inside_a_call_it_sees_its_end_no_more():
    scale, seen = Scale(), []
    watcher = Watcher({"": scale}, before=lambda _: watcher.close(), after=seen.append)
    scale(X)
    assert seen == [] and watcher.running == []


def test_running_calls_and_notes():
    model, depth = Two(), []

    def before(call):
        call.note = len(watcher.running)

    with Watcher(
        dict(model.named_modules()), before=before, after=lambda call: depth.append((call.name, call.note))
    ) as watcher:
        model(X)
    assert depth == [("first", 2), ("second", 2), ("", 1)]


def test_errors_pass_and_leave_nothing_behind():
    model, seen = Two(), []
    with watching(model, seen) as watcher:
        with pytest.raises(ZeroDivisionError):
            model(X, by=0)
        assert seen == ["first"] and watcher.running == []
        model(X)
    assert seen == ["first", "first", "second", ""]

    def refuse(call):
        raise KeyError(call.name)

    with Watcher({"": model}, before=refuse) as watcher, pytest.raises(KeyError):
        model(X)
    assert watcher.running == []


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_is_computed_again_is_not_seen(reentrant):
    model, seen = Two(), []
    with watching(model, seen):
        checkpoint(model, X.clone().requires_grad_(), use_reentrant=reentrant).sum().backward()
    assert seen == ["first", "second", ""]


def test_a_watcher_under_a_checkpoint_has_graphs_of_its_own():
    model, sums = Two(), []
    with Watcher({"": model.first}, after=lambda call: sums.append(call.output.exp().sum())):
        out = checkpoint(model, X, use_reentrant=False)
    (out.sum() + sums[0]).backward()
    expected = Two()
    hidden = expected.first(X)
    (expected.second(hidden).sum() + hidden.exp().sum()).backward()
    assert [p.grad for p in model.parameters()] == [p.grad for p in expected.parameters()]


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": saved,
    "replica": lambda model: model._replicate_for_data_parallel(),
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_are_not_watched(how):
    model, seen = Scale(), []
    with watching(model, seen):
        twin = COPIES[how](model)
        twin.weight = model.weight  # replicas get theirs later
        twin(X)
        assert seen == [] and not watched(twin)
        assert vars(model).keys() == vars(Scale()).keys() and not model._forward_hooks
        model(X)
    assert seen == [""]


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_of_a_watcher_is_closed(how):
    model = Scale()
    with Watcher({"": model}) as watcher:
        twin = COPIES[how](watcher)
        assert watched(model)
        twin.close()
        assert watched(model)


def test_what_is_watched_may_die():
    seen = []
    watcher = watching(Two(), seen)
    for _ in range(100):
        Scale()(X)  # at addresses that were those of watched ones
    assert seen == []
    watcher.close()


def test_beside_others_that_stand_for_calls_of_modules():
    """As torch.fx does while it traces; whoever comes last goes first, or stays."""
    model, seen = Two(), []
    with watching(model, seen):
        fx.symbolic_trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
        model(X)
    assert len(seen) == 3
    first = watching(model, seen)
    ours = nn.Module.__call__
    nn.Module.__call__ = lambda self, *args, **kwargs: ours(self, *args, **kwargs)
    second = watching(model, other := [])
    model(X)
    assert (len(seen), len(other)) == (6, 3)
    first.close()
    second.close()
    model(X)
    with watching(model, seen):
        model(X)
    assert (len(seen), len(other)) == (9, 3)
    nn.Module.__call__ = ours
    with watching(model, seen):
        model(X)
    assert len(seen) == 12


def test_compiled_models_are_watched_and_left():
    model, names = Two(), []
    with watching(model, names):
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        compiled(X)
        assert names == ["first", "second", ""]
    compiled(X)
    assert len(names) == 3
