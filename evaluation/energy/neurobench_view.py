"""A third-party judge: the NeuroBench harness (package `neurobench`) on our sentiment network.

It counts "effective" operations by hooks on nn.Linear and convolutions, so the network is shown to it as such
layers with spikes between them. What it counts differently from `measure_energy`:

- analog inputs that happen to be zero, and weights that are zero, are no MACs for it;
- an input with any value beside -1, 0 and 1 makes the whole call MACs, so sums of spikes must be shown to it
  spike by spike: the map to the integrators is called for every sub-step here;
- look-ups, biases, neuron updates and memory traffic are nothing;
- operations are per text, not per token;
- it has no count for nn.LSTM, nn.GRU and nn.RNN: version 2.3.0 prints the error of the metric (nothing, if it
  is run quietly, as here), goes on, and reports what other layers did: 0.0 of an LSTM alone. Here a metric
  that fails raises.

Two `Benchmark`s of one of its models count everything twice while the first lives, so each call here makes a
model and a benchmark of its own and takes their hooks away again.

Its activation sparsity is the share of (neuron, sub-step) without a spike: 1 - spike rate / T.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.events import EventMap
from spikeseq.models.sentiment import SpikingClassifier
from spikeseq.modules import check_plain, class_of, of_kind
from spikeseq.nn import LIF


class Spikes(nn.Module):
    """A `LIF` layer whose output is its spikes alone, which is what hooks on activations expect."""

    def __init__(self, lif: LIF, substeps: int) -> None:
        super().__init__()
        self.lif, self.substeps = lif, substeps

    def forward(self, current: Tensor) -> Tensor:
        """Currents (L, B, H) to spikes (L * substeps, B, H)."""
        return self.lif(current, substeps=self.substeps, readout="spikes")[0]  # type: ignore[no-any-return]


class SentimentView(nn.Module):
    """A `SpikingClassifier` as linear maps with spikes between them; the same weights, the same verdicts.

    Args:
        model: in evaluation mode, one direction, without feedback.
    Raises:
        TypeError: it is another model.
        ValueError: it is another network, or one of its modules is not exactly what its class says.
    """

    def __init__(self, model: SpikingClassifier) -> None:
        super().__init__()
        if not issubclass(class_of(model), SpikingClassifier):
            raise TypeError(f"the harness is shown a SpikingClassifier, got {type(model).__name__}")
        odd = model.spiking.norm or model.spiking.recurrent or model.spiking.bidirectional
        if odd or model.context is not None or model.ngrams is not None:
            raise ValueError(
                "the harness is shown networks of one token at a time (kernel_size 1, no ngrams), without"
                " normalisation, feedback or a second direction"
            )
        if of_kind(model, EventMap):
            raise ValueError(
                "the harness does not know maps that are driven by events; show it the model before"
            )
        # Parts whose forward is not run here; and the harness puts ones into weights and reads the output,
        # which hooks and parametrizations change.
        for path, module in model.named_modules():
            check_plain(path, module, "show the harness a copy without it")
        steps = model.spiking.substeps
        self.embedding, self.integrator, self.readout = model.embedding, model.integrator, model.readout
        layers: list[Any] = list(model.spiking.layers)
        self.maps = nn.ModuleList(layer.input_map for layer in layers)
        self.spikes = nn.ModuleList(
            Spikes(layer.lif, steps if i == 0 else 1) for i, layer in enumerate(layers)
        )
        self.to_integrator = model.to_integrator

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, classes) of texts of equal length (B, L)."""
        x = self.embedding(tokens.t())
        for linear, spikes in zip(self.maps, self.spikes, strict=True):
            x = spikes(linear(x))
        _, final = self.integrator(self.to_integrator(x))
        final = (final / tokens.shape[1] ** 0.5).to(self.readout.weight.dtype)
        return self.readout(final)  # type: ignore[no-any-return]


def neurobench(model: SpikingClassifier, texts: Sequence[Tensor]) -> dict[str, Any]:
    """The harness's figures for texts (L,) of token ids, run one by one.

    Returns:
        "Footprint" in bytes, "ActivationSparsity", and "SynapticOperations" with "Effective_MACs",
        "Effective_ACs" and "Dense", per text.
    Raises:
        RuntimeError: a metric of the harness failed; its error is the cause.
        TypeError, ValueError: as `SentimentView`; no texts.
        ImportError: the package is not installed; how to install it is said.
    """
    try:
        from neurobench.benchmarks import Benchmark
        from neurobench.metrics.static import Footprint
        from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
        from neurobench.models import TorchModel
    except ImportError as error:
        how = "pip install --no-deps neurobench snntorch"
        raise ImportError(f"the harness cannot be used ({error}): {how}") from error

    class Wrapped(TorchModel):  # type: ignore[misc]
        def __init__(self, net: nn.Module) -> None:
            super().__init__(net)
            self.add_activation_module(Spikes)

    if len(texts) == 0:
        raise ValueError("texts must be one or more, got none")
    errors: list[tuple[str, Exception]] = []
    data = [(text, torch.zeros((), dtype=torch.int64)) for text in texts]
    loader: Any = torch.utils.data.DataLoader(data, batch_size=1)  # type: ignore[arg-type]
    metrics = [[Footprint], [loud(kind, errors) for kind in (ActivationSparsity, SynapticOperations)]]
    shown = Wrapped(SentimentView(model))
    with torch.no_grad():
        harness = Benchmark(shown, loader, [], [], metrics)
        try:
            found = dict(harness.run(quiet=True))
        finally:
            harness.workload_metric_manager.cleanup_hooks(shown)
    if errors:
        name, cause = errors[0]
        what = f"NeuroBench's {name} failed; the harness reports what is left"
        raise RuntimeError(f"{what}: {cause}") from cause
    return found


def loud(metric: Any, errors: list[tuple[str, Exception]]) -> Any:
    """A metric of the harness under the same name that writes down its errors, which the harness swallows."""

    def call(self: Any, *args: Any) -> Any:
        try:
            return metric.__call__(self, *args)
        except Exception as error:
            errors.append((metric.__name__, error))
            raise

    return type(metric.__name__, (metric,), {"__call__": call})
