import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.functional.events import add_events
from spikeseq.ops.events import MOST_OF_ROW, MOST_SPIKES, dense_events

quick = settings(deadline=None, max_examples=40)


def spikes(rows, inputs, most, seed, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most + 1, (rows, inputs), generator=random)
    return (counts * (torch.rand(rows, inputs, generator=random) < 0.4)).to(dtype)


@quick
@given(
    st.integers(0, 40), st.integers(1, 70), st.integers(1, 140), st.integers(1, 3), st.integers(0, 99),
    st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_it_is_the_dense_product(rows, inputs, outputs, most, seed, dtype):
    torch.manual_seed(seed)
    x, weight = spikes(rows, inputs, most, seed, dtype), torch.randn(inputs, outputs, dtype=dtype)
    base = torch.randn(rows, outputs, dtype=dtype)
    found, expected = base.clone(), base.clone()
    reads = add_events(found, x, weight)
    assert reads == dense_events(expected, x, weight) == int(x.sum()) * outputs
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@quick
@given(st.integers(1, 20), st.integers(1, 70), st.integers(1, 140), st.integers(0, 99))
def test_8_bit_weights_are_summed_exactly(rows, inputs, outputs, seed):
    torch.manual_seed(seed)
    x, scale = spikes(rows, inputs, 3, seed), torch.rand(outputs)
    weight = torch.randint(-127, 128, (inputs, outputs), dtype=torch.int8)
    found = torch.zeros(rows, outputs)
    add_events(found, x, weight, scale)
    whole = x.long() @ weight.long()
    assert torch.equal(found, scale * whole.float())


def test_any_number_of_threads_gives_the_same():
    x, weight, threads = spikes(500, 64, 2, 0), torch.randn(64, 100), torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        results.append(torch.zeros(500, 100))
        add_events(results[-1], x, weight)
    torch.set_num_threads(threads)
    assert torch.equal(*results)


@pytest.mark.parametrize("value", [0.5, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("add", [add_events, dense_events])
def test_values_that_are_no_spikes(add, value):
    with pytest.raises(ValueError, match="events are numbers of spikes"):
        add(torch.zeros(1, 3), torch.tensor([[1.0, value]]), torch.zeros(2, 3))


@pytest.mark.parametrize("add", [add_events, dense_events])
def test_counts_made_of_means_are_rounded(add):
    x, weight, base = torch.tensor([[0.6 * 5, 1 / 3 * 3, -1e-6]]), torch.randn(3, 2), torch.zeros(1, 2)
    assert add(base, x, weight) == 4 * 2
    torch.testing.assert_close(base[0], 3 * weight[0] + weight[1])


@pytest.mark.parametrize("add", [add_events, dense_events])
def test_spikes_are_added_one_by_one_and_not_for_ever(add):
    with pytest.raises(ValueError, match="events are numbers of spikes, 0 to 4096 of a neuron"):
        add(torch.zeros(1, 3), torch.tensor([[1.0, 4097.0]]), torch.zeros(2, 3))
    base = torch.zeros(1, 3)
    add(base, torch.tensor([[1.0, 4096.0]]), torch.ones(2, 3))
    assert base.tolist() == [[4097.0] * 3]


@pytest.mark.parametrize("add", [add_events, dense_events])
def test_sums_of_8_bit_weights_are_right_up_to_the_most_spikes_and_refused_beyond(add):
    neurons = MOST_OF_ROW // MOST_SPIKES
    x = torch.full((1, neurons + 1), float(MOST_SPIKES), dtype=torch.float64)
    weight, scale = torch.full((neurons + 1, 1), -128, dtype=torch.int8), torch.ones(1, dtype=torch.float64)
    x[0, -1] = 0
    base = torch.zeros(1, 1, dtype=torch.float64)
    assert add(base, x, weight, scale) == MOST_OF_ROW
    assert base.item() == -(2.0**31)
    x[0, -1] = 1
    with pytest.raises(ValueError, match="at most 16777216 of a row"):
        add(base, x, weight, scale)


def test_the_most_is_the_same_here_as_in_the_kernel():
    from spikeseq.ops.build import CSRC

    source = (CSRC / "cpu" / "events.cpp").read_text()
    assert f"kMostSpikes = {MOST_SPIKES};" in source
    assert f"kMostOfRow = 1 << {MOST_OF_ROW.bit_length() - 1};" in source


def test_shapes_and_types_that_do_not_fit():
    with pytest.raises(ValueError, match=r"weight must be \[4, 3\], got \[5, 3\]"):
        add_events(torch.zeros(1, 3), torch.zeros(1, 4), torch.zeros(5, 3))
    with pytest.raises(TypeError, match="base must be Double, got Float"):
        add_events(torch.zeros(1, 3), torch.zeros(1, 4).double(), torch.zeros(4, 3).double())
    with pytest.raises(ValueError, match="int8 weights go with a scale"):
        add_events(torch.zeros(1, 3), torch.zeros(1, 4), torch.zeros(4, 3, dtype=torch.int8))
    with pytest.raises(ValueError, match=r"scale must be \[3\], got \[2\]"):
        add_events(torch.zeros(1, 3), torch.zeros(1, 4), torch.zeros(4, 3, dtype=torch.int8), torch.ones(2))
