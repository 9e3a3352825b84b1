"""What a module is: plain ones of every class, and every oddity on every class."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_modules import EVERY_MODULE, ODDITIES, made_odd, subclass
from torch import nn

import spikeseq
from spikeseq import modules
from spikeseq.evaluation.energy import measure_energy
from spikeseq.modules import check_plain, class_of, is_a, oddity, refuse, rewritten, spiking_maps
from spikeseq.nn import LIF, CausalConv1d, LIFCell, NormalisedLIF, SpikingRNN, TokenConv1d
from spikeseq.outside import copied, outside
from spikeseq.swap import SwappedLSTM, swap

CLASSES = {
    "Linear": lambda: nn.Linear(3, 4),
    "Conv2d": lambda: nn.Conv2d(2, 3, 3),
    "Embedding": lambda: nn.Embedding(5, 3),
    "LSTM": lambda: nn.LSTM(3, 4, num_layers=2),
    "GRUCell": lambda: nn.GRUCell(3, 4),
    "TokenConv1d": lambda: TokenConv1d(3, 4, causal=True),
    "LIF": lambda: LIF(4),
}
WITHOUT_WEIGHTS = {
    "ReLU": nn.ReLU,
    "Dropout": nn.Dropout,
    "Sequential": lambda: nn.Sequential(nn.Linear(2, 2)),
    "SpikingRNN": lambda: SpikingRNN(3, 4),
}
CELLS = [(name, odd) for name in CLASSES for odd in ODDITIES] + [
    (name, odd) for name in WITHOUT_WEIGHTS for odd in EVERY_MODULE
]
ALL = CLASSES | WITHOUT_WEIGHTS


@pytest.mark.parametrize("name", ALL)
def test_plain_modules(name):
    for module in (ALL[name](), ALL[name]().eval().requires_grad_(False), ALL[name]().bfloat16()):
        assert oddity(module) is None and rewritten(module) is None
        assert class_of(module) is type(module) and is_a(module, type(module))
        assert not is_a(module, nn.Bilinear)
        check_plain("", module, "do nothing")
    module.some_note = torch.zeros(3)  # an attribute that the class does not work with
    assert oddity(module) is None


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("name", "odd"), CELLS)
def test_every_oddity_is_seen(name, odd):
    plain = ALL[name]()
    module = made_odd(odd, plain)
    assert oddity(module), (name, odd)
    assert not is_a(module, type(plain))
    with pytest.raises(
        ValueError, match=rf"^a\.b \({type(module).__name__}\) .*, which would be lost; remove it$"
    ):
        check_plain("a.b", module, "remove it")
    assert oddity(plain) is None  # the copy is odd


@given(
    st.lists(st.sampled_from([o for o in EVERY_MODULE if o not in ("wrapper", "backward hook")]), max_size=4),
    st.sampled_from(list(ALL)),
)
@settings(max_examples=60, deadline=None)
def test_oddities_do_not_hide_each_other(odds, name):
    module = ALL[name]()
    for odd in odds:
        module = ODDITIES[odd](module)
    assert (oddity(module) is not None) == bool(odds)
    assert type(ALL[name]()) in type(module).__mro__ and class_of(module) is type(ALL[name]())


def test_what_goes_away_is_forgotten(monkeypatch):
    module = nn.Linear(2, 2)
    for register in (module.register_forward_hook, module.register_forward_pre_hook,
                     module.register_full_backward_hook, module.register_full_backward_pre_hook):  # fmt: skip
        handle = register(print)
        assert "hooks" in oddity(module)
        handle.remove()
        assert oddity(module) is None
    everywhere = nn.modules.module
    for register in (everywhere.register_module_forward_hook, everywhere.register_module_forward_pre_hook,
                     everywhere.register_module_full_backward_hook,
                     everywhere.register_module_full_backward_pre_hook):  # fmt: skip
        handle = register(lambda *_: None)
        assert "all modules" in oddity(module)
        handle.remove()
        assert oddity(module) is None
    for kind in (nn.Linear, LIF):
        module = kind(2) if kind is LIF else kind(2, 2)
        assert oddity(module) is None
        with monkeypatch.context() as patch:  # a forward put into the class, as some accelerators do
            patch.setattr(kind, "forward", lambda self, x: x)
            assert "forward of its own" in oddity(module)
        assert oddity(module) is None
    mine = type("Mine", (nn.Linear,), {})
    module = mine(2, 2)
    assert oddity(module) is None
    mine.forward = lambda self, x: x  # later
    assert oddity(module) == "is a Linear with forward of its own"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_single_oddities():
    module = nn.Linear(2, 2)
    module.weight = nn.Parameter(module.weight.detach().to_sparse())
    assert "sparse" in oddity(module)
    module = nn.Conv2d(2, 2, 1)
    module._conv_forward = lambda *args: args[0]
    assert oddity(module) == "has a _conv_forward that was put in by hand"
    assert oddity(subclass(_conv_forward=lambda *a: a[0])(nn.Conv2d(2, 2, 1))) == (
        "is a Conv2d with _conv_forward of its own"
    )
    raw = nn.Linear(2, 2)
    raw.raw = raw._parameters.pop("weight")
    assert "weight of its own" in oddity(subclass(weight=property(lambda self: self.raw * 2))(raw))
    lstm = nn.LSTM(
        2, 3
    )  # as some regularisers do: the weight is made before every call, by a module around it
    lstm.weight_hh_l0 = torch.zeros(12, 3) if lstm._parameters.pop("weight_hh_l0") is not None else None
    assert "weight_hh_l0 that is made from others" in oddity(lstm)
    module = nn.Linear(2, 2)
    module.compile()
    assert oddity(module) == "was compiled in place"
    assert oddity(torch.jit.script(nn.Linear(2, 2))) == "was made by torch.jit"
    assert oddity(nn.LazyLinear(2))
    hooked = nn.Linear(2, 2)
    hooked.register_state_dict_post_hook(lambda *_: None)
    assert oddity(hooked) is None  # a call knows nothing of it,
    with pytest.raises(ValueError, match="state dict hooks"):  # and who replaces the module would lose it
        check_plain("", hooked, "remove it")


def test_kinds():
    assert is_a(CausalConv1d(2, 3), TokenConv1d), "it only is built another way"
    assert is_a(nn.modules.linear.NonDynamicallyQuantizableLinear(2, 3), nn.Linear)
    assert not is_a(LIFCell(), LIF) and not is_a(NormalisedLIF(3, substeps=2), LIF)
    assert not is_a(swap(nn.LSTM(2, 3)), SpikingRNN) and is_a(swap(nn.LSTM(2, 3)), SwappedLSTM)
    assert is_a(nn.Linear(2, 3), nn.ReLU, nn.Linear) and not is_a("text", nn.Linear)
    assert is_a(subclass(extra_repr=lambda self: "mine", more=lambda self: 1)(nn.ReLU()), nn.ReLU)
    assert oddity(nn.GELU(), nn.ReLU) == "is not a ReLU"
    assert oddity(nn.Module()) == "is of a class of its own"
    with pytest.raises(ValueError, match=r"^the model \(GELU\) is soft; take nn\.ReLU$"):
        refuse("", nn.GELU(), "is soft", "take nn.ReLU")


def test_looks_at_classes_are_not_kept_forever():
    for _ in range(modules._MOST_LOOKS + 2):
        assert oddity(subclass()(nn.ReLU())) is None
    assert len(modules._LOOKS) <= modules._MOST_LOOKS


def test_layers_say_which_maps_see_spikes():
    rnn = SpikingRNN(3, 4, num_layers=2, recurrent=True)
    assert [spiking_maps(layer) for layer in rnn.layers] == [("feedback",), ("input_map", "feedback")]
    assert spiking_maps(rnn) == spiking_maps(nn.Linear(2, 2)) == ()


class Holder:
    def __init__(self, value):
        self.value = value


def default_of(module):
    def call(x, *, module=module):
        return module(x)

    return call


@dataclass(slots=True)
class Slotted:
    value: object
    empty: object = field(init=False)


@pytest.mark.parametrize(
    "hold",
    [
        lambda m: [[m]], lambda m: {"a": (m,)}, lambda m: {m}, lambda m: m.forward, lambda m: lambda x: m(x),
        lambda m: Holder([m]), lambda m: __import__("functools").partial(m, 1),
        lambda m: Slotted([m]), default_of,
        lambda m: __import__("weakref").ref(m), lambda m: [__import__("weakref").proxy(m)],
    ],
)  # fmt: skip
def test_modules_outside_the_registered_ones_are_found(hold):
    model, held = nn.Sequential(nn.Module()), nn.Sequential(nn.Linear(2, 2))
    assert outside(model) == {}
    model[0].kept = hold(held)
    assert outside(model) == {held: "0.kept", held[0]: "0.kept"}
    model.append(held)  # registered too: still it has a second place
    assert outside(model) == {held: "0.kept"}


def test_copies_have_nothing_in_common():
    model = nn.Sequential(nn.Linear(2, 2))
    model.step = model[0].forward
    again = copied(model)
    assert again.step.__self__ is again[0] is not model[0]
    model.step = lambda x: model[0](x)
    with pytest.raises(ValueError, match=r"^step holds the model's Sequential in a function"):
        copied(model)
    del model.step
    model.register_forward_hook(lambda *_: model.eval() and None)  # hooks are looked after by who wrote them
    copied(model)
    model.cache = model(torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"^the model \(Sequential\) cannot be copied"):
        copied(model)


WITHOUT_SIZES = [
    lambda m, x: spikeseq.to_spiking(m, [x]),
    lambda m, x: swap(nn.Sequential(m, nn.LSTM(4, 4))),
    lambda m, x: swap(nn.Sequential(m, nn.LSTM(4, 4)), inplace=True),
    lambda m, x: spikeseq.fold_embeddings(nn.Sequential(nn.Embedding(5, 3), *m)),
    lambda m, x: measure_energy(m, [(x,)], tokens=1.0),
    spikeseq.explain,
]


@pytest.mark.parametrize("run", WITHOUT_SIZES)
def test_weights_without_sizes_are_refused(run):
    lazy = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"(0|0\.0|1) \(LazyLinear\) has weights without sizes yet; call"):
        run(lazy, torch.randn(5, 3))
    assert lazy[0].has_uninitialized_params()


@pytest.mark.filterwarnings("ignore")
def test_scripted_parts_are_copied_and_explained():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), torch.jit.script(nn.Linear(3, 2)))
    ids = torch.tensor([1, 4])
    torch.testing.assert_close(spikeseq.fold_embeddings(model)(ids), model(ids))
    spikeseq.explain(model, ids)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_swap_refuses_what_no_neuron_computes_in(dtype):
    with pytest.raises(ValueError, match=rf"^0 \(LSTM\) is in {dtype}; a spiking layer is in float32"):
        swap(nn.Sequential(nn.LSTM(3, 4).to(dtype)))
