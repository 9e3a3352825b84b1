import pytest
import torch

from spikeseq.nn import SpikingRNN, detach_state, reorder_state, select_state


def nested():
    state = torch.arange(6.0).view(3, 2).requires_grad_()
    return {"encoder": (state * 1, None), "decoder": [state * 2]}


def test_detach():
    state = detach_state(nested())
    assert isinstance(state["encoder"], tuple) and state["encoder"][1] is None
    assert not state["encoder"][0].requires_grad and not state["decoder"][0].requires_grad


def test_select_and_reorder():
    state = nested()
    kept = select_state(state, torch.tensor([True, False, True]))
    assert kept["decoder"][0].tolist() == [[0, 2], [8, 10]]
    beams = reorder_state(state, torch.tensor([2, 2, 0]))
    assert beams["encoder"][0].tolist() == [[4, 5], [4, 5], [0, 1]]
    assert reorder_state(torch.zeros(4, 3, 2), torch.tensor([1]), dim=1).shape == (4, 1, 2)
    with pytest.raises(TypeError, match="got str"):
        detach_state("state")


def test_finished_sequences_can_leave_the_batch():
    layer = SpikingRNN(3, 4, num_layers=2, dtype=torch.float64)
    x = torch.randn(5, 3, 3, dtype=torch.float64)
    whole, _ = layer(x)
    _, state = layer(x[:2])
    keep = torch.tensor([False, True, True])
    rest, _ = layer(x[2:, keep], select_state(state, keep, dim=1))
    torch.testing.assert_close(rest, whole[2:, keep])


def test_detached_state_cuts_backpropagation_between_chunks():
    layer = SpikingRNN(3, 4)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    state = None
    for chunk in torch.randn(6, 2, 3).split(2):  # a second backward through the first chunk would raise
        out, state = layer(chunk, state)
        out.sum().backward()
        optimiser.step()
        state = detach_state(state)
