"""Ops called directly, past the functions that check for them: what does not fit is refused, and never read.

Every tensor of every op, forward and backward, times everything that can be wrong with a tensor.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import spikeseq
import spikeseq.nn
import spikeseq.ops.events
import spikeseq.ops.language
import spikeseq.ops.taps
from spikeseq.stdp import Cross, Ensemble, Network, PairOfTraces, Presentation
from spikeseq.stdp.showing import _packed

L, B, C, T = 3, 2, 5, 2  # rows or tokens, sequences, neurons, sub-steps
LENGTHS = torch.tensor([3, 1])
CLOCK = ("spike_time", 1.0, 1.0, False)  # a surrogate with memory
NEURON = ("piecewise_linear", 0.3, 1.0, False)  # surrogate, height, width, detach_reset
LIF = (*NEURON, True)  # of lif alone: norm_input


@pytest.fixture(scope="module", autouse=True)
def native():
    spikeseq.build("cpu")


def draw(*size: int) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(sum(size))) / 2


def lif() -> dict[str, Any]:
    return {"current": draw(L, B, C), "state": draw(1, B, C), "leak": draw(C), "threshold": draw(C),
            "lengths": LENGTHS, "options": (T, 1, "soft", "spikes", *LIF)}  # fmt: skip


def lif_backward() -> dict[str, Any]:
    return {"grad_out": draw(L * T, B, C), "grad_final": draw(1, B, C), "current": draw(L, B, C),
            "checkpoints": draw(B * C), "final_state": draw(1, B, C), "leak": draw(C),
            "threshold": draw(C), "lengths": LENGTHS,
            "options": (T, 1, "soft", "spikes", *LIF)}  # fmt: skip


def lif_of_tokens() -> dict[str, Any]:
    return {**lif(), "leak": draw(L, B, C)}


def lif_of_tokens_backward() -> dict[str, Any]:
    return {**lif_backward(), "leak": draw(L, B, C)}


def lif_recurrent() -> dict[str, Any]:
    return {"current": draw(L, B, C), "state": draw(B, C), "weight": draw(C, C), "leak": draw(C),
            "threshold": draw(C), "lengths": LENGTHS, "options": (T, T, "soft", "rate", *NEURON)}  # fmt: skip


def lif_recurrent_backward() -> dict[str, Any]:
    return {"grad_out": draw(L, B, C), "grad_final": draw(B, C), "membranes": draw(L * T + 1, B, C),
            "weight": draw(C, C), "leak": draw(C), "threshold": draw(C), "lengths": LENGTHS,
            "options": (T, T, "soft", "rate", *NEURON)}  # fmt: skip


def norm_lif() -> dict[str, Any]:
    return {"currents": draw(L, 1, B, C), "state": draw(B, C), "gain": draw(C), "offset": draw(C),
            "leak": draw(C), "threshold": draw(C), "lengths": LENGTHS,
            "options": (T, True, 1e-5, "soft", *NEURON)}  # fmt: skip


def norm_lif_backward() -> dict[str, Any]:
    return {"grad_spikes": draw(L, T, B, C), "grad_final": draw(B, C), **norm_lif()}


def lif_stack() -> dict[str, Any]:
    return {"x": draw(L, B, 4), "state": draw(2, B, C), "weights": [draw(C, 4), draw(C, C)],
            "biases": [draw(C), draw(C)], "leaks": [draw(C), draw(1)], "thresholds": [draw(1), draw(C)],
            "options": (0.01, T, "soft", "membrane")}  # fmt: skip


def lif_stack_counted() -> dict[str, Any]:
    return lif_stack()


def conv3x3() -> dict[str, Any]:
    return {"x": draw(2, 8, 5, 6).contiguous(memory_format=torch.channels_last), "points": draw(36, 8, 16)}


def conv3x3_backward() -> dict[str, Any]:
    grad = draw(2, 16, 5, 6).contiguous(memory_format=torch.channels_last)
    return {"grad": grad, **conv3x3(), "options": (True, True)}


def add_taps() -> dict[str, Any]:
    return {
        "base": draw(L, B, C),
        "x": draw(L, B, 4).sub(0.4).relu(),
        "weight": draw(3, 4, C),
        "options": (1,),
    }


def taps_weight_gradient() -> dict[str, Any]:
    return {"x": draw(L, B, 4), "grad": draw(L, B, C), "options": (3, 1)}


def add_events() -> dict[str, Any]:
    return {"base": draw(L, C), "x": draw(L, 4).round(), "weight": draw(4, C), "scale": torch.empty(0)}


def add_small_events() -> dict[str, Any]:
    return {**add_events(), "weight": torch.ones(4, C, dtype=torch.int8), "scale": draw(C)}


def pack_spikes() -> dict[str, Any]:
    return {"x": draw(L, 12).round()}


def unpack_spikes() -> dict[str, Any]:
    return {"bits": torch.ones(L, 2, dtype=torch.uint8), "size": 12, "like": draw(1), "options": (1.0,)}


def packed_product() -> dict[str, Any]:
    return {"bits": torch.ones(L, 2, dtype=torch.uint8), "size": 12, "weight": draw(12, C), "bias": draw(C)}


def language_stream() -> dict[str, Any]:
    block = {"gains": draw(4), "offsets": draw(4), "shifts": draw(2, 4), "weights": draw(C, 4)}
    block |= {"biases": draw(C), "leaks": draw(C), "thresholds": draw(C), "backs": draw(C, 4)}
    block |= {"back_biases": draw(4), "membranes": draw(B, C), "kept": draw(B, 1, 4)}
    first = {**block, "weights": draw(2, 7, C), "kept": torch.tensor([[-1], [6]])}  # looked up
    lists = {name: [first[name], block[name]] for name in block}
    return {"ids": torch.tensor([[0, 6], [1, 2], [3, 3]]), "table": draw(7, 4), "scale": 1.0,
            "ngrams": draw(5, 4), "orders": [2], **{name: lists[name] for name in (*lists,)[:-2]},
            "recent": torch.tensor([[0], [3]]), "membranes": lists["membranes"],
            "kept": lists["kept"], "gain": draw(4), "offset": draw(4), "output_bias": draw(7),
            "options": (0.01, T, "soft")}  # fmt: skip


def stdp_present() -> dict[str, Any]:
    rule = PairOfTraces()
    net = Network(
        [Ensemble(4, C, rule), Ensemble(6, 2, rule)],
        [Cross(0, 1, rule, share=0.5)],
        presentation=Presentation(time=5.0, rest=1.0),
    )
    learnt = net.learnt()
    counts = [torch.zeros(L, n, dtype=torch.int32) for n in (C, 2)]
    return {"weights": learnt.weights, "possible": learnt.possible, "thetas": learnt.thetas,
            "rates": [draw(L, 2, 4), draw(L, 2, 6)], "counts": counts,
            "shown": torch.zeros(L, 2, dtype=torch.int64), "options": (*_packed(net.plan), 0, 1)}  # fmt: skip


def packed_weight_gradient() -> dict[str, Any]:
    return {"bits": torch.ones(L, 2, dtype=torch.uint8), "grad": draw(L, C), "options": (12,)}


OPS = {
    made.__name__: made
    for made in (
        lif, lif_backward, lif_of_tokens, lif_of_tokens_backward,
        lif_recurrent, lif_recurrent_backward, norm_lif, norm_lif_backward, lif_stack,
        lif_stack_counted, conv3x3, conv3x3_backward,
        add_taps, taps_weight_gradient, add_events, add_small_events, pack_spikes, unpack_spikes,
        packed_product, packed_weight_gradient, language_stream, stdp_present,
    )
}  # fmt: skip
FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "one dimension more": lambda t: t.unsqueeze(0),
    "no dimension": lambda t: t.new_zeros(()),
    "one column more": lambda t: torch.cat([t, t[..., :1]], -1),
    "one row more": lambda t: torch.cat([t, t[:1]]),
    "empty": lambda t: t.new_empty(0),
    "half the type": lambda t: t.half() if t.is_floating_point() else t.to(torch.int16),
    "another type": lambda t: t.double() if t.is_floating_point() else t.to(torch.int32),
    "whole numbers": lambda t: t.to(torch.int16),
    "sparse": lambda t: t.to_sparse(),
    "meta": lambda t: t.to("meta"),
    "strided": lambda t: torch.stack([t, t], -1)[..., 0],
    "expanded": lambda t: t.flatten()[:1].expand(t.shape),
}
# Where a changed tensor still fits: op, argument, faults.
FITS = {
    ("lif", "current"): ("one row more", "half the type"),
    ("lif_of_tokens", "current"): ("half the type",),
    ("lif_recurrent", "current"): ("one row more",),
    ("norm_lif", "currents"): ("one row more",),
    ("norm_lif", "leak"): ("no dimension",),
    ("norm_lif", "threshold"): ("no dimension",),
    ("norm_lif_backward", "leak"): ("no dimension",),
    ("norm_lif_backward", "threshold"): ("no dimension",),
    ("lif_stack", "x"): ("one row more",),
    ("lif_stack", "leaks"): ("one dimension more", "no dimension"),
    ("lif_stack", "thresholds"): ("one dimension more", "no dimension"),
    ("lif_stack_counted", "x"): ("one row more",),
    ("lif_stack_counted", "leaks"): ("one dimension more", "no dimension"),
    ("lif_stack_counted", "thresholds"): ("one dimension more", "no dimension"),
    ("conv3x3", "x"): ("one row more", "one column more"),
    ("add_taps", "base"): ("one row more",),
    ("add_taps", "x"): ("one row more",),
    ("add_taps", "weight"): ("one row more",),
    ("taps_weight_gradient", "x"): ("one row more", "one column more"),
    ("taps_weight_gradient", "grad"): ("one row more", "one column more"),
    ("add_events", "scale"): tuple(FAULTS),  # goes with 8-bit weights
    ("pack_spikes", "x"): ("one row more", "one column more", "another type"),
    ("unpack_spikes", "bits"): ("one row more",),
    ("unpack_spikes", "like"): {*FAULTS} - {"half the type", "whole numbers", "sparse", "meta"},
    ("packed_product", "bits"): ("one row more",),
    ("packed_weight_gradient", "grad"): ("one column more", "another type"),
    ("language_stream", "ids"): ("one row more",),
    ("language_stream", "ngrams"): ("one row more",),
    ("language_stream", "shifts"): tuple(FAULTS),  # not read where currents are looked up
    ("language_stream", "leaks"): ("no dimension",),
    ("language_stream", "thresholds"): ("no dimension",),
    ("stdp_present", "possible"): tuple(FAULTS),  # empty: all can be
    ("stdp_present", "counts"): ("another type",),  # which is theirs
}  # fmt: skip


def call(name: str, arguments: dict[str, Any]) -> Any:
    op = getattr(torch.ops.spikeseq, name.replace("small_", "").replace("_of_tokens", ""))
    given = {key: value.clone() if key == "base" else value for key, value in arguments.items()}
    options = given.pop("options", ())
    return op(*given.values(), *options), given.get("base")


def tensors(arguments: dict[str, Any]) -> list[tuple[str, int | None]]:
    """Names of tensors, with the place of those in lists."""
    found: list[tuple[str, int | None]] = []
    for key, value in arguments.items():
        found += [(key, None)] if isinstance(value, Tensor) else []
        found += (
            [(key, i) for i, one in enumerate(value) if isinstance(one, Tensor)]
            if isinstance(value, list)
            else []
        )
    return found


def test_every_op_has_a_row():
    made = {name.removeprefix("spikeseq::") for name in torch._C._dispatch_get_all_op_names()
            if name.startswith("spikeseq::")}  # fmt: skip
    assert made - {"empty_kept", "release_memory", "memory_in_use", "plan_maker"} == {*OPS} & made


@pytest.mark.parametrize("op", OPS)
def test_a_tensor_that_does_not_fit_is_refused(op):
    arguments = OPS[op]()
    call(op, arguments)
    for name, place in tensors(arguments):
        whole = arguments[name]
        for fault, change in FAULTS.items():
            bad = change(whole if place is None else whole[place])
            given = {**arguments, name: bad if place is None else [*whole[:place], bad, *whole[place + 1 :]]}
            if fault in FITS.get((op, name), ()):
                continue
            if fault in ("strided", "expanded"):
                read_or_refused(op, name, given)
                continue
            with pytest.raises((ValueError, TypeError, NotImplementedError)) as caught:
                call(op, given)
            message = str(caught.value)
            named = any(key.rstrip("s").removesuffix("e") in message for key in (*arguments, "window"))
            assert named or f"{op}" in message, (op, name, fault, message)


def read_or_refused(op, name, given):
    """Other strides: the same result, or an error that says so."""
    try:
        found = call(op, given)
    except ValueError as error:
        assert (name in str(error) or "tensors" in str(error)) and "contiguous" in str(error)
    else:
        value = given[name]
        copied = value.contiguous() if isinstance(value, Tensor) else [t.contiguous() for t in value]
        torch.testing.assert_close(found, call(op, {**given, name: copied}))


WRONG = [
    ("lif", {"options": (0, 1, "soft", "spikes", *LIF)}, "substeps must be at least 1, got 0"),
    ("lif", {"options": (2**40, 1, "soft", "spikes", *LIF)}, "substeps 1099511627776 times 3 rows"),
    ("lif", {"options": (T, 0, "soft", "rate", *LIF)}, "window must be at least 1, got 0"),
    ("lif", {"options": (T, 4, "soft", "rate", *LIF)}, "window 4 does not divide the 6 sub-steps"),
    ("lif", {"options": (T, 2, "soft", "spikes", *LIF)}, "window must be 1 for the readout of spikes"),
    ("lif", {"options": (T, 1, "harder", "spikes", *LIF)}, "reset must be one of soft, .*, got 'harder'"),
    ("lif", {"lengths": torch.tensor([-1, 3])}, "lengths must lie in .*, got -1"),
    ("lif", {"leak": draw(1).expand(C)[:1], "threshold": draw(C)}, r"threshold must be \[1\], got \[5\]"),
    ("lif_backward", {"options": (T, 2, "soft", "spikes", *LIF)}, "window must be 1"),
    ("lif_recurrent", {"options": (T, 4, "soft", "rate", *NEURON)}, "window 4 does not divide"),
    ("lif_recurrent", {"options": (T, T, "soft", "rate", *CLOCK)}, "without a memory, got spike"),
    ("lif_recurrent_backward", {"options": (4, 1, "soft", "rate", *NEURON)},
     r"membranes must be \(L \* 4 \+ 1, B, H\)"),
    ("norm_lif", {"options": (T, True, 1e-5, "soft", *CLOCK)}, "without a memory, got spike"),
    ("norm_lif", {"currents": draw(L, 4, B, C)}, "currents of a token, 4, do not divide its substeps, 2"),
    ("lif_stack", {"biases": [draw(C)]}, "biases of all or none"),
    ("lif_stack_counted", {"weights": [draw(C, 0), draw(C, C)]}, "x must hold the currents of 5 neurons"),
    ("lif_stack", {"weights": []}, "a weight, a leak and a threshold of every layer"),
    ("add_taps", {"options": (3,)}, r"before must lie in \[0, 3\), got 3"),
    ("add_taps", {"options": (-1,)}, r"before must lie in \[0, 3\), got -1"),
    ("taps_weight_gradient", {"options": (0, 0)}, "taps must be at least 1, got 0"),
    ("unpack_spikes", {"size": 0}, "size must be at least 1, got 0"),
    ("unpack_spikes", {"size": -3}, "size must be at least 1, got -3"),
    ("packed_product", {"size": 17}, r"weight must be \(17, O\)|bits must be"),
    ("packed_product", {"bits": torch.full((L, 2), 255, dtype=torch.uint8)}, "one that is set behind them"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "changed", "message"), WRONG, ids=[f"{op}-{i}" for i, (op, *_) in enumerate(WRONG)]
)
def test_a_value_that_does_not_fit_is_refused(op, changed, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(op, {**OPS[op](), **changed})


def numbers(op: str) -> list[tuple[str, bool]]:
    """The whole numbers that an op takes, by name, and whether they are lists."""
    schema = getattr(torch.ops.spikeseq, op.replace("small_", "").replace("_of_tokens", "")).default._schema
    kinds = [(a.name, str(a.type)) for a in schema.arguments]
    return [(name, kind == "List[int]") for name, kind in kinds if kind in ("int", "List[int]")]


@pytest.mark.parametrize("number", [-(2**63), -1, 0, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1], ids=str)
@pytest.mark.parametrize("op", [name for name in OPS if numbers(name)])
def test_whole_numbers_of_any_size_are_right_or_refused(op, number):
    """None wraps around where sizes are multiplied, and none asks for memory that nobody has."""
    function = getattr(torch.ops.spikeseq, op.replace("small_", "").replace("_of_tokens", "")).default
    names = [argument.name for argument in function._schema.arguments]
    arguments = OPS[op]()
    values = [*(value for key, value in arguments.items() if key != "options"), *arguments.get("options", ())]
    for name, listed in numbers(op):
        at = names.index(name)
        given = values[at]
        places = range(len(given)) if listed else [0]
        for i in places:
            if op == "stdp_present" and name == "whole" and i in (1, 2, 3) and number > 0:
                continue  # steps and repeats: it then does so many
            changed = [*given[:i], number, *given[i + 1 :]] if listed else number
            fresh = [value.clone() if isinstance(value, Tensor) else value for value in values]
            try:
                function(*fresh[:at], changed, *fresh[at + 1 :])
            except (ValueError, TypeError) as error:
                assert str(error)
