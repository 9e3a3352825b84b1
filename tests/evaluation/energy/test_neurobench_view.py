"""The NeuroBench harness agrees with our account where both count the same."""

import sys

import pytest
import torch
from odd_modules import forward_hook, own_forward, pruned, silent_hook, weight_normed
from torch import nn

from spikeseq.evaluation.energy.counting import count_operations
from spikeseq.evaluation.energy.neurobench_view import SentimentView, neurobench
from spikeseq.events import compile_events
from spikeseq.fold import fold_embeddings
from spikeseq.models import build_classifier


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = build_classifier({"name": "snn", "embedding_size": 20, "hidden_size": 32}, 50, 2).eval()
    nn.init.normal_(model.readout.weight)
    return model


TEXTS = [torch.randint(1, 50, (n,), generator=torch.Generator().manual_seed(n)) for n in (9, 4, 6)]


def test_what_is_shown_says_the_same(model):
    for text in TEXTS:
        found = SentimentView(model)(text.unsqueeze(0))
        torch.testing.assert_close(found, model(text.unsqueeze(1), torch.tensor([len(text)])))
        torch.testing.assert_close(SentimentView(fold_embeddings(model))(text.unsqueeze(0)), found)


def test_operations_sparsity_and_footprint(model):
    pytest.importorskip("neurobench")
    found = neurobench(model, TEXTS)
    inputs = [(text.unsqueeze(1), torch.tensor([len(text)])) for text in TEXTS]
    account = count_operations(model, inputs, tokens=len(TEXTS))  # per text
    operations = found["SynapticOperations"]
    assert account.total.acs > 0 and operations["Effective_ACs"] == pytest.approx(account.total.acs)
    assert operations["Effective_MACs"] == pytest.approx(account.total.macs)
    assert found["Footprint"] == account.size
    tokens = sum(map(len, TEXTS))
    rate = count_operations(model, inputs, tokens=tokens).spike_rate
    assert 0 < found["ActivationSparsity"] < 1
    # The harness takes the mean of texts, ours of tokens.
    assert found["ActivationSparsity"] == pytest.approx(1 - rate / 5, abs=0.02)


@pytest.mark.parametrize("changes", [{"kernel_size": 3}, {"ngrams": [2]}], ids=["kernel", "ngrams"])
def test_what_is_not_shown(changes):
    model = build_classifier({"name": "snn", **changes}, 50, 2).eval()
    with pytest.raises(ValueError, match="kernel_size 1"):
        SentimentView(model)


def test_without_the_package(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "neurobench.benchmarks", None)
    with pytest.raises(ImportError, match="pip install --no-deps neurobench snntorch"):
        neurobench(model, TEXTS)


def test_a_metric_that_fails_is_seen(model, monkeypatch):  # case 4.12
    """The harness prints the error, which nobody sees, and reports 0.0."""
    workload = pytest.importorskip("neurobench.metrics.workload")

    def fails(self, *args):
        raise ValueError("no such layer")

    monkeypatch.setattr(workload.SynapticOperations, "__call__", fails)
    with pytest.raises(RuntimeError, match=r"SynapticOperations failed; .* no such layer"):
        neurobench(model, TEXTS)


def test_twice_the_same(model):  # case 4.12
    pytest.importorskip("neurobench")
    assert neurobench(model, TEXTS) == neurobench(model, TEXTS)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_hooks_that_would_not_run_are_refused(model):
    model.spiking.layers[1].register_forward_hook(lambda module, args, output: None)
    with pytest.raises(ValueError, match=r"spiking.layers.1 \(SpikingLayer\) has forward hooks"):
        SentimentView(model)


ODD = {
    "hook on a map": ("to_integrator", forward_hook, r"\(Linear\) has forward hooks"),
    "hook on neurons": ("spiking.layers.0.lif", silent_hook, r"\(LIF\) has forward hooks"),
    "weight_norm": ("spiking.layers.1.input_map", weight_normed, r"\(\w+\) has parametrizations"),
    "pruned": ("spiking.layers.1.input_map", pruned, r"\(Linear\) has a weight that is made from others"),
    "own forward": ("readout", own_forward, r"\(Mine\) is a Linear with forward of its own"),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_the_harness_would_count_wrong_is_refused(model, odd):
    path, change, message = ODD[odd]
    change(model.get_submodule(path))
    with pytest.raises(ValueError, match=f"^{path} {message}.*show the harness a copy without it"):
        SentimentView(model)


def test_other_models_and_no_texts_are_refused(model):
    with pytest.raises(TypeError, match="the harness is shown a SpikingClassifier, got LSTM"):
        SentimentView(torch.nn.LSTM(3, 4))
    with pytest.raises(ValueError, match="driven by events; show it the model before"):
        SentimentView(compile_events(model))
