"""A convolution of spiking neurons and a linear map of their rates: one module, which a run folder keeps."""

from typing import Any

import torch
from torch import Tensor, nn

from spikeseq import stdp
from spikeseq.stdp import conv
from spikeseq.stdp.rules import Rule

IMAGES = 100  # at once: their currents stay small
BOOST = 0.5  # of rates, whenever a patch is shown again


class ConvClassifier(nn.Module):
    """Images to classes: whitened patches, kernels, neurons that fire, pooled rates, a linear map.

    Args:
        network: an ensemble whose neurons become the kernels; None: they are learnt otherwise.
        settings: the section `model`. channels: of images. classes: how many.

    Parameter: `kernel` (neurons, D), on whitened patches of D values. Buffers: `mean` and `matrix` of the
    whitening; `weight` of the linear map, (features + 1, classes) float64.
    """

    mean: Tensor
    matrix: Tensor
    weight: Tensor

    def __init__(self, network: stdp.Network | None, settings: Any, channels: int, classes: int) -> None:
        super().__init__()
        self.network, self.settings, self.channels = network, settings, channels
        inputs = channels * settings.side**2
        self.kernel = nn.Parameter(torch.zeros(settings.neurons, inputs), requires_grad=network is None)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("matrix", torch.eye(inputs))
        features = settings.neurons * settings.pool**2
        self.register_buffer("weight", torch.zeros(features + 1, classes, dtype=torch.float64))

    @property
    def whitening(self) -> conv.Whitening:
        return conv.Whitening(self.mean, self.matrix)

    def inputs(self, patches: Tensor) -> Tensor:
        """Patches (N, D) as rates of ON and OFF inputs, (N, 2 D) Hz, at most a spike a step of 1 ms."""
        whitened = self.whitening(conv.normalised(patches))
        return (conv.on_off(whitened) * self.settings.hertz).clamp_max(1000.0)

    def adopt(self, patches: Tensor) -> None:
        """Takes the network's kernels over; `patches` (N, D) show how strong their currents are."""
        assert self.network is not None
        kernels = conv.kernels(self.network.get_parameter("weight0").detach())
        self.scale(kernels, patches)

    @torch.no_grad()
    def scale(self, kernels: Tensor, patches: Tensor) -> None:
        """Sets kernels so that the currents of each have a standard deviation of 1 over patches."""
        currents = self.whitening(conv.normalised(patches)) @ kernels.T
        self.kernel.copy_(kernels / currents.std(0).clamp_min(1e-6)[:, None])

    def currents(self, pixels: Tensor) -> Tensor:
        return conv.Convolution.of(self.kernel, self.whitening, self.channels).currents(
            pixels, self.settings.stride
        )

    @torch.no_grad()
    def fire(self, pixels: Tensor) -> Tensor:
        """Share of the sub-steps in which each neuron fires, (N, neurons, H', W')."""
        s = self.settings
        return conv.fired(self.currents(pixels), s.cut, s.gain, s.substeps)

    def features(self, pixels: Tensor) -> Tensor:
        """Pooled rates, (N, features) float32, of uint8 (N, C, H, W)."""
        parts = [conv.pooled(self.fire(part), self.settings.pool) for part in pixels.split(IMAGES)]
        return torch.cat(parts)

    def learn_classes(self, pixels: Tensor, targets: Tensor, penalty: float) -> None:
        """The linear map, from training images; what is kept of them grows with their features alone."""
        sums = stdp.Sums(self.weight.shape[1])
        for some, classes in zip(pixels.split(IMAGES), targets.split(IMAGES), strict=True):
            sums.add(self.features(some), classes)
        self.weight.copy_(sums.fit(penalty).weight)

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores (N, classes) of images."""
        return stdp.Linear(self.weight).scores(self.features(pixels))


def conv_classifier(config: Any, classes: int, channels: int) -> ConvClassifier:
    """The model of a configuration, untrained."""
    m = config.model
    if m.name == "backprop":
        return ConvClassifier(None, m, channels, classes)
    inputs = 2 * channels * m.side**2
    kind = stdp.Ensemble(
        inputs,
        m.neurons,
        rule_of(m),
        total=m.total * inputs,
        start=m.first,
        from_partner=m.inhibition,
        threshold_step=m.threshold_step,
        threshold_time=m.threshold_time,
    )
    show = stdp.Presentation(m.time, 1.0, 0.0, m.least, BOOST, m.repeats)
    return ConvClassifier(stdp.Network(kind, presentation=show, seed=config.seed), m, channels, classes)


def rule_of(m: Any) -> Rule:
    """The rule that `model.name` says; kernels at random have the weights that any rule starts from."""
    if m.name == "powerlaw":
        return stdp.PowerLaw(m.rate, m.trace_time, m.offset, exponent=m.exponent)
    if m.name == "switching":
        return stdp.Switching(m.on, m.off, m.trace_time, m.window)
    return stdp.PairOfTraces(m.rate_before, m.rate_behind, m.trace_time, m.trace_time, m.slow_time)
