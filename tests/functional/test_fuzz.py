"""Any call of `lif` either agrees with the oracle or raises a documented exception."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lif_case import Case, assert_gradients_close, gradients, random_grads

from spikeseq.functional import READOUTS, RESETS, SURROGATES, lif
from spikeseq.ops.reference import lif_reference

sizes = st.integers(0, 4)


def random_tensor(shape, seed, dtype):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def wrong_tensors(dtype):
    """Of any shape or type, or out of bounds."""
    dtypes = st.sampled_from(
        [dtype, dtype, torch.float32, torch.float64, torch.float16, torch.int64, torch.bool]
    )
    shapes = st.lists(sizes, max_size=4)
    return st.builds(
        lambda s, d, factor: random_tensor(s, 0, d) * factor, shapes, dtypes, st.sampled_from([1, -1, 3])
    )


@st.composite
def calls(draw):
    """Arguments that fit each other; in half of the cases one of them is replaced by anything."""
    shape = (draw(st.integers(1, 4)), *draw(st.lists(sizes, min_size=1, max_size=3)))
    seed, substeps = draw(st.integers(0, 9)), draw(st.integers(1, 5))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    current = 2 * random_tensor(shape, seed, dtype) - 0.5
    if current.dim() > 2 and draw(st.booleans()):
        current = current.transpose(-1, -2).contiguous().transpose(-1, -2)
    surrogate = draw(st.sampled_from([cls() for cls in SURROGATES.values()]))
    planes = surrogate.memory_planes
    state = random_tensor((*([1 + planes] if planes else []), *shape[1:]), seed, wide) * 2
    parameter_shapes = st.sampled_from([(), (1,), (shape[2] if len(shape) > 2 else 1,)])
    lengths = st.lists(st.integers(0, shape[0]), min_size=shape[1], max_size=shape[1])
    readout = draw(st.sampled_from(READOUTS))
    divisors = [w for w in range(1, shape[0] * substeps + 1) if shape[0] * substeps % w == 0]
    call = {
        "current": current,
        "state": draw(st.sampled_from([None, state])),
        "leak": draw(
            st.floats(0, 1) | (parameter_shapes | st.just(shape)).map(lambda s: random_tensor(s, seed, wide))
        ),
        "threshold": draw(
            st.floats(0.1, 2) | parameter_shapes.map(lambda s: random_tensor(s, seed, wide) + 0.1)
        ),
        "substeps": substeps,
        "reset": draw(st.sampled_from(RESETS)),
        "readout": readout,
        "window": None if readout == "spikes" else draw(st.sampled_from([None, *divisors])),
        "surrogate": surrogate,
        "lengths": draw(st.none() | lengths.map(lambda x: torch.tensor(x, dtype=torch.int64))),
        "detach_reset": draw(st.booleans()),
        "norm_input": draw(st.booleans()),
    }
    if draw(st.booleans()):
        name = draw(st.sampled_from(list(call)))
        call[name] = draw(
            wrong_tensors(wide) | st.floats() | st.integers(-1, 3) | st.lists(sizes)
            | st.sampled_from([None, "soft", "rate", True, 10**400, 1e300, 1e-300, b"", object()])
        )  # fmt: skip
    return call


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(calls())
def test_any_call_is_right_or_is_refused(call):
    try:
        out, state = lif(**call)
    except (TypeError, ValueError) as error:
        assert str(error)
        return
    current, surrogate, substeps = call["current"], call["surrogate"], call["substeps"]
    dtype = torch.float64 if current.dtype == torch.float64 else torch.float32
    leak, threshold = (torch.as_tensor(call[name], dtype=dtype) for name in ("leak", "threshold"))
    leak, threshold = leak if leak.dim() > 1 else leak.reshape(-1), threshold.reshape(-1)
    planes = surrogate.memory_planes
    start = current.new_zeros((1 + planes, *current.shape[1:]), dtype=dtype)
    for plane, value in enumerate(surrogate.memory_start, 1):
        start[plane] = value
    if call["state"] is not None:
        start = call["state"] if planes else call["state"].unsqueeze(0)
    window = 1 if call["readout"] == "spikes" else call["window"] or substeps
    expected, final = lif_reference(
        current, start, leak, threshold, call["lengths"], substeps, window, call["reset"], call["readout"],
        surrogate.name, surrogate.height, surrogate.width, call["detach_reset"], call["norm_input"],
    )  # fmt: skip
    same = {"rtol": 0, "atol": 0, "equal_nan": True}
    torch.testing.assert_close(out, expected, **same)
    torch.testing.assert_close(state if planes else state.unsqueeze(0), final, **same)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    case=st.builds(
        Case,
        rows=st.integers(1, 9),
        shape=st.lists(sizes, min_size=1, max_size=3).map(tuple),
        dtype=st.just(torch.float64),
        substeps=st.integers(1, 4),
        reset=st.sampled_from(RESETS),
        surrogate=st.sampled_from([cls() for name, cls in SURROGATES.items() if name != "approximate_lif"]),
        readout=st.sampled_from(READOUTS),
        ragged=st.booleans(),
        detach_reset=st.booleans(),
        leak_rows=st.booleans(),
        norm_input=st.booleans(),
    ),
    seed=st.integers(0, 99),
)
def test_gradients_of_any_problem(case, seed):
    x = case.inputs(seed)
    ours, theirs = case.op(x), case.oracle(x)
    grads = random_grads(*theirs, seed)
    assert_gradients_close(gradients(ours, x, grads), gradients(theirs, x, grads), 1e-10)
