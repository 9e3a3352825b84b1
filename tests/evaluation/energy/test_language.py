"""The account of a streamed language model beside that of the model that it was made of."""

import pytest
import torch

from spikeseq import compile_events, evaluation
from spikeseq.models.language import SpikingLanguageModel

V, D, N, L = 11, 6, 20, 9


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("taps", [1, 3])
def test_only_the_first_map_is_gone(layers, taps):
    torch.manual_seed(0)
    model = (
        SpikingLanguageModel(V, embedding_size=D, neurons=N, layers=layers, kernel_size=taps).double().eval()
    )
    text = torch.randint(0, V, (L, 1))
    whole, streamed = (
        evaluation.measure_energy(one, [(text,)], tokens=L) for one in (model, compile_events(model))
    )
    assert streamed["not_counted"] == streamed["guessed"] == []
    assert streamed["acs"] == pytest.approx(whole["acs"]) and streamed["acs"] > 0
    assert streamed["spike_rate"] == pytest.approx(whole["spike_rate"])
    shifted = sum(L - tap for tap in range(taps)) * D if taps > 1 else 0  # tokens before the text are none
    assert whole["macs"] - streamed["macs"] == pytest.approx((L * D * N + shifted) / L + later(layers, taps))
    assert streamed["operations"]["updates"] == layers * N


def later(layers, taps):
    """The streamed form multiplies the zeros before the text, too, in blocks behind the first one."""
    missing = sum(range(taps)) * D / L if taps > 1 else 0
    return -(layers - 1) * missing


def test_a_stream_that_goes_on_looks_up_every_tap():
    torch.manual_seed(0)
    stream = compile_events(SpikingLanguageModel(V, embedding_size=D, neurons=N, layers=1, kernel_size=3))
    _, state = stream(torch.zeros((4, 1), dtype=torch.int64))
    first, later = (
        evaluation.measure_energy(stream, [(torch.zeros((1, 1), dtype=torch.int64), one)], tokens=1)
        for one in (None, state)
    )
    assert later["operations"]["adds"] - first["operations"]["adds"] == pytest.approx(
        2 * N + (later["acs"] - first["acs"]) / D
    )
