"""Each wrong argument gets one exception that names it, its value and what is accepted."""

import math
import re

import pytest
import torch

from spikeseq.checks import check_values
from spikeseq.functional import SURROGATES, ApproximateLIF, PiecewiseLinear, Surrogate, lif

I = torch.ones(5, 3, 4)  # noqa: E741  the field's own letter


def call(current=I, state=None, **options):
    return lif(current, state, **{"leak": 0.9, "threshold": 1.0, **options})


def bad_token(value):
    """Leaks of every token, one of them wrong."""
    leak = torch.full_like(I, 0.5)
    leak[3, 1, 2] = value
    return leak


BAD = [
    ({"current": [1.0]}, TypeError, "current must be a Tensor, got list"),
    (
        {"current": I.long()},
        TypeError,
        "current must be float32, float64, bfloat16 or float16, got torch.int64",
    ),
    ({"current": I.to(torch.complex64)}, TypeError, "got torch.complex64"),
    ({"current": I.to_sparse()}, TypeError, "current must be a dense tensor, got layout torch.sparse_coo"),
    ({"current": torch.tensor(1.0)}, ValueError, r"current must be \(L, B, \*\), got \(\)"),
    ({"current": torch.zeros(5)}, ValueError, r"current must be \(L, B, \*\), got \(5,\)"),
    ({"current": torch.zeros(0, 3, 4)}, ValueError, r"current must have at least one row, got \(0, 3, 4\)"),
    *(
        ({"leak": bad}, ValueError, rf"leak must lie in \[0, 1\], got {bad}")
        for bad in (-0.1, 1.5, math.nan, math.inf)
    ),
    *(
        ({"threshold": bad}, ValueError, f"threshold must be positive and finite, got {bad}")
        for bad in (0, 0.0, -1.0, math.nan, math.inf, 10**400)
    ),
    ({"threshold": 1e300}, ValueError, r"threshold must fit torch.float32, got 1e\+300"),
    ({"leak": "0.9"}, TypeError, "leak must be a number or a Tensor, got '0.9'"),
    ({"leak": None}, TypeError, "leak must be a number or a Tensor, got None"),
    ({"threshold": True}, TypeError, "threshold must be a number or a Tensor, got True"),
    *(
        ({"leak": torch.tensor([0.5, bad, 1, 0])}, ValueError, r"leak must lie in \[0, 1\], got")
        for bad in (-1.0, 2.0, math.nan)
    ),
    *(
        (
            {"threshold": torch.tensor([1.0, bad, 1, 1])},
            ValueError,
            "threshold must be positive and finite, got",
        )
        for bad in (0.0, -1.0, math.nan, math.inf)
    ),
    (
        {"leak": torch.ones(4, dtype=torch.int64)},
        TypeError,
        "leak must be a floating-point tensor, got torch.int64",
    ),
    (
        {"threshold": torch.ones(3)},
        ValueError,
        r"threshold must have shape \(\), \(1,\) or \(4,\), got \(3,\)",
    ),
    *(
        (
            {"leak": torch.ones(shape)},
            ValueError,
            r"leak must have shape \(\), \(1,\) or \(4,\), or current's \(5, 3, 4\), got "
            + re.escape(str(shape)),
        )
        for shape in ((3,), (1, 4), (3, 4), (5, 3), (5, 1, 4), (4, 3, 4), (1, 5, 3, 4))
    ),
    ({"threshold": torch.ones_like(I)}, ValueError, r"threshold must have shape .* got \(5, 3, 4\)"),
    ({"leak": torch.ones_like(I).long()}, TypeError, "leak must be a floating-point tensor, got torch.int64"),
    ({"leak": torch.ones_like(I, device="meta")}, ValueError, "leak is on meta, current on cpu"),
    *(
        ({"leak": bad_token(bad)}, ValueError, rf"leak must lie in \[0, 1\], got {bad}")
        for bad in (-0.5, 1.5, math.nan, math.inf)
    ),
    (
        {"leak": bad_token(2.0), "lengths": torch.tensor([5, 4, 0])},
        ValueError,
        r"leak must lie in \[0, 1\], got 2",
    ),
    ({"leak": torch.ones(4, device="meta")}, ValueError, "leak is on meta, current on cpu"),
    ({"state": 0.0}, TypeError, "state must be a Tensor, got float"),
    ({"state": (torch.zeros(3, 4),)}, TypeError, "state must be a Tensor, got tuple"),
    ({"state": torch.zeros(4, 3)}, ValueError, r"state must have shape \(3, 4\), got \(4, 3\)"),
    ({"state": torch.zeros(3)}, ValueError, r"state must have shape \(3, 4\), got \(3,\)"),
    (
        {"state": torch.zeros(3, 4), "surrogate": ApproximateLIF()},
        ValueError,
        r"state must have shape \(3, 3, 4\)",
    ),
    (
        {"state": torch.zeros(3, 4).double()},
        TypeError,
        "state must be torch.float32 for torch.float32 currents, got",
    ),
    (
        {"state": torch.zeros(3, 4).bfloat16(), "current": I.bfloat16()},
        TypeError,
        "state must be torch.float32 for",
    ),
    ({"state": torch.zeros(3, 4, device="meta")}, ValueError, "state is on meta, current on cpu"),
    ({"lengths": [5, 5, 5]}, TypeError, "lengths must be a Tensor, got list"),
    ({"lengths": torch.ones(3)}, TypeError, "lengths must be int64, got torch.float32"),
    ({"lengths": torch.ones(3, dtype=torch.bool)}, TypeError, "lengths must be int64, got torch.bool"),
    ({"lengths": torch.tensor([5, 5])}, ValueError, r"lengths must have shape \(3,\), got \(2,\)"),
    ({"lengths": torch.tensor([[5, 5, 5]])}, ValueError, r"lengths must have shape \(3,\), got \(1, 3\)"),
    (
        {"lengths": torch.tensor([5, 6, 0])},
        ValueError,
        r"lengths must lie in \[0, 5\] \(the rows of current\), got 6",
    ),
    (
        {"lengths": torch.tensor([5, -1, 0])},
        ValueError,
        r"lengths must lie in \[0, 5\] \(the rows of current\), got -1",
    ),
    ({"substeps": 0}, ValueError, "substeps must be at least 1, got 0"),
    ({"substeps": 2.0}, TypeError, "substeps must be an int, got 2.0"),
    ({"substeps": True}, TypeError, "substeps must be an int, got True"),
    (
        {"reset": "to_zero"},
        ValueError,
        "reset must be one of 'soft', 'soft_immediate', 'hard', got 'to_zero'",
    ),
    ({"reset": None}, ValueError, "reset must be one of .* got None"),
    ({"readout": "mean"}, ValueError, "readout must be one of 'spikes', 'rate', 'membrane', got 'mean'"),
    ({"window": 2}, ValueError, "window only goes with readout 'rate' or 'membrane', got 2"),
    ({"window": 2, "readout": "rate"}, ValueError, "window 2 does not divide the 5 sub-steps"),
    ({"window": 0, "readout": "rate"}, ValueError, "window must be at least 1, got 0"),
    (
        {"surrogate": PiecewiseLinear},
        TypeError,
        r"surrogate must be one of PiecewiseLinear\(\), .* got <class",
    ),
    ({"surrogate": "sigmoid"}, TypeError, r"surrogate must be one of .* got 'sigmoid'"),
    ({"surrogate": Surrogate()}, TypeError, r"surrogate must be one of .* got Surrogate"),
    ({"detach_reset": "no"}, TypeError, "detach_reset must be True or False, got 'no'"),
    ({"norm_input": 1}, TypeError, "norm_input must be True or False, got 1"),
    ({"norm_input": True, "leak": torch.ones(3)}, ValueError, "leak must have shape .*, got"),
]


@pytest.mark.parametrize(
    "options, error, message", BAD, ids=lambda x: None if isinstance(x, type) else str(x)[:60]
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        call(**options)


@pytest.mark.parametrize("name", ["height", "width"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_surrogates_need_positive_heights_and_widths(name, value):
    with pytest.raises(ValueError, match=f"PiecewiseLinear: {name} must be a positive number, got {value}"):
        PiecewiseLinear(**{name: value})
    with pytest.raises(TypeError, match=f"PiecewiseLinear: {name} must be a number, got '1'"):
        PiecewiseLinear(**{name: "1"})


def test_leaks_past_a_sequences_end_are_not_read():
    lengths, longer = torch.tensor([5, 3, 0]), torch.tensor([5, 4, 0])
    found = call(leak=bad_token(math.nan), lengths=lengths)
    expected = call(leak=bad_token(0.5), lengths=lengths)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    check_values(5, bad_token(math.nan), torch.ones(1), lengths)  # where no kernel can be built
    for run in (call, lambda leak, lengths: check_values(5, leak, torch.ones(1), lengths)):
        with pytest.raises(ValueError, match=r"leak must lie in \[0, 1\], got nan"):
            run(leak=bad_token(math.nan), lengths=longer)


def test_infinite_and_nan_currents_are_a_result_and_not_a_crash():
    current = torch.tensor([[math.nan, math.inf, -math.inf, 3.0]])
    out, state = call(current)
    assert out.tolist() == [[0, 1, 0, 1]] and state.isnan().tolist() == [True, False, False, False]


@pytest.mark.parametrize("surrogate", [cls() for cls in SURROGATES.values() if not cls().memory_planes])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_nan_current_shows_in_the_gradients(surrogate, dtype):
    current = torch.zeros(6, 1, 40, dtype=dtype)
    current[2, 0, 1] = math.nan
    current.requires_grad_()
    call(current, surrogate=surrogate)[0].sum().backward()
    bad = current.grad.isnan()
    assert bad[:, 0, 1].all() and bad.sum() == 6
