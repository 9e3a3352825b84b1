"""ANNs to spiking networks: thresholds by hand, the same predictions, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import spikeseq
from spikeseq.models.backbones import build_backbone
from spikeseq.nn import SpikingActivation, SpikingNetwork, TimedDropout


class Residual(nn.Module):
    """One module nn.ReLU for both activations, as torchvision has it; biases, and shortcuts of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm1(self.first(x)))
        x = self.relu(self.norm2(self.second(x)) + x)
        return self.out(self.drop(x.mean((2, 3))))


def images(count: int, side: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Five classes, each a random picture, with noise."""
    random = torch.Generator().manual_seed(7)
    pictures = torch.randn(5, 3, side, side, generator=random)
    random.manual_seed(seed)
    labels = torch.randint(0, 5, (count,), generator=random)
    return pictures[labels] + 0.8 * torch.randn(count, 3, side, side, generator=random), labels


def trained(ann: nn.Module, side: int = 8, steps: int = 60) -> nn.Module:
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(ann.parameters(), 0.003)
    for step in range(steps):
        x, y = images(64, side, seed=step + 1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(ann(x), y).backward()
        optimizer.step()
    return ann.eval()


@torch.no_grad()
def agreement(ann: nn.Module, snn: nn.Module, side: int = 8, count: int = 300) -> float:
    x, _ = images(count, side, seed=999)
    return float((ann(x).argmax(1) == snn(x).argmax(1)).float().mean())


def by_hand(weights: list[torch.Tensor], x: torch.Tensor, steps: int, rank: float = 1.0) -> list[float]:
    """Algorithm 1 in plain loops: integrate-and-fire layers, one after the other."""
    thresholds: list[float] = []
    for layer in range(len(weights)):
        largest = 0.0
        membranes = [torch.zeros(len(x), len(w)) for w in weights]
        spikes = [torch.zeros(len(x), len(w)) for w in weights]
        for _ in range(steps):
            value = x
            for before in range(layer):
                reset = thresholds[before] * spikes[before]
                membranes[before] = membranes[before] + value @ weights[before].T - reset
                spikes[before] = (membranes[before] > thresholds[before]).float()
                value = spikes[before]
            currents = (value @ weights[layer].T).flatten().sort().values
            largest = max(largest, currents[max(int(rank * len(currents) + 0.9999) - 1, 0)].item())
        thresholds.append(largest)
    return thresholds


@pytest.mark.parametrize(("method", "percentile"), [("max", 99.0), ("percentile", 90.0)])
def test_thresholds_of_three_layers_by_hand(method, percentile):
    torch.manual_seed(1)
    sizes = (6, 7, 8, 5)
    maps = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
    ann = nn.Sequential(*(layer for m in maps for layer in (m, nn.ReLU())), nn.Linear(5, 2, bias=False))
    x = torch.randn(9, 6)
    model = spikeseq.to_spiking(ann, [x], method, percentile=percentile, substeps=13)
    expected = by_hand([m.weight.detach() for m in maps], x, 13, 1.0 if method == "max" else percentile / 100)
    assert list(model.conversion.thresholds.values()) == pytest.approx(expected, rel=1e-5)
    held = [layer.neurons[0].threshold.item() for _, layer in model.activations()]
    assert held == pytest.approx(expected, rel=1e-5)
    halved = spikeseq.to_spiking(
        ann, [x[:4], x[4:]], method, percentile=percentile, substeps=13, threshold_scale=0.5
    )
    if method == "max":  # that of both batches is the larger one's
        held = [layer.neurons[0].threshold.item() for _, layer in halved.activations()]
        assert held == pytest.approx([v / 2 for v in expected], rel=1e-5)


@pytest.mark.parametrize("name", ["vgg6", "resnet8"])
def test_a_backbone_predicts_as_its_ann(name):
    own = {"classes": 5, "size": 16, "width": 0.125} | ({"hidden": 32} if name == "vgg6" else {})
    ann = trained(build_backbone(name, **own), side=16, steps=120)
    snn = spikeseq.to_spiking(ann, [images(128, 16, seed=5)[0]], substeps=400, calibration_substeps=20)
    assert snn.conversion.scaled == (name == "resnet8") and snn.held
    assert agreement(ann, snn, 16, count=100) >= 0.99
    twin = build_backbone(name, activation="spiking", leak=1.0, substeps=400, **own).eval()
    twin.load_state_dict(snn.state_dict())
    assert agreement(snn, twin, 16, count=20) == 1


def test_biases_shortcuts_and_normalisation():
    ann = trained(Residual())
    before = {key: value.clone() for key, value in ann.state_dict().items()}
    snn = spikeseq.to_spiking(ann, [images(128, seed=5)[0]], substeps=400, calibration_substeps=20)
    assert agreement(ann, snn) >= 0.99
    assert all(torch.equal(value, before[key]) for key, value in ann.state_dict().items())
    assert isinstance(snn.network.drop, TimedDropout) and isinstance(snn.network.norm1, nn.Identity)
    assert list(snn.conversion.thresholds) == ["relu", "relu#2"]
    assert "norm1: folded into first" in str(snn.conversion) and snn.conversion.scaled


def test_normalisation_can_stay():
    ann, x = trained(Residual()), images(128, seed=5)[0]
    folded, kept = (
        spikeseq.to_spiking(ann, [x], substeps=60, calibration_substeps=20, batch_norm=how)
        for how in ("fold", "keep")
    )
    assert isinstance(kept.network.norm1, nn.BatchNorm2d) and kept.conversion.changed == []
    for name, threshold in folded.conversion.thresholds.items():
        assert kept.conversion.thresholds[name] == pytest.approx(threshold, rel=1e-4)
    assert agreement(folded, kept) >= 0.98  # sums round otherwise


def test_what_goes_around_the_first_neurons_is_copied_for_every_substep():
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map, self.relu, self.out = nn.Linear(3, 4), nn.ReLU(), nn.Linear(7, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.cat((self.relu(self.map(x)), x), 1))

    torch.manual_seed(0)
    ann, x = Around(), torch.randn(20, 3)
    snn = spikeseq.to_spiking(ann, [x], substeps=500)
    assert not snn.held
    torch.testing.assert_close(snn(x) / 500, ann(x), atol=0.02, rtol=0)


def test_weights_can_carry_the_scale():
    ann = trained(build_backbone("vgg5", classes=5, size=8, width=0.125, hidden=16))
    x = images(64, seed=5)[0]
    thresholds, weights = (
        spikeseq.to_spiking(ann, [x], substeps=20, balance_by=by) for by in ("thresholds", "weights")
    )
    assert {layer.neurons[0].threshold.item() for _, layer in weights.activations()} == {1.0}
    a, b = thresholds(x), weights(x)
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="without bias and shortcuts"):
        spikeseq.to_spiking(Residual(), [x], balance_by="weights")


def test_lower_thresholds_fire_more():
    ann = trained(build_backbone("vgg5", classes=5, size=8, width=0.125, hidden=16))
    x = images(64, seed=5)[0]
    rates = []
    for options in ({}, {"threshold_scale": 0.6}, {"method": "percentile", "percentile": 90.0}):
        snn = spikeseq.to_spiking(ann, [x], substeps=5, **options)
        with spikeseq.monitor(snn) as watch, torch.no_grad():
            snn(x)
        rates.append(sum(watch.rates().values()))
    assert rates[0] < min(rates[1:])


def test_poisson_input():
    ann = trained(build_backbone("vgg5", classes=5, size=8, width=0.25, hidden=32))
    x = images(128, seed=5)[0]
    snn = spikeseq.to_spiking(ann, [x], encoding="poisson", substeps=500, calibration_substeps=50)
    assert snn.largest == x.abs().max()  # so nothing is clipped
    torch.manual_seed(0)
    few, _ = images(60, seed=999)
    with torch.no_grad():
        same = (ann(few).argmax(1) == snn(few).argmax(1)).float().mean()
    assert same >= 0.9  # as the spikes are random


def test_poisson_input_in_the_units_of_biases():
    ann, x = trained(Residual()), images(128, seed=5)[0]
    snn = spikeseq.to_spiking(ann, [x], encoding="poisson", substeps=500, calibration_substeps=50)
    few, _ = images(60, seed=999)
    with torch.no_grad():
        same = (ann(few).argmax(1) == snn(few, generator=torch.Generator().manual_seed(0)).argmax(1)).float()
    assert same.mean() >= 0.9


def test_progress_and_shared_relus():
    ann, seen = trained(Residual()), []
    spikeseq.to_spiking(
        ann,
        [images(16)[0]],
        substeps=3,
        progress=lambda done, total, name, value: seen.append((done, total, name)),
    )
    assert seen == [(1, 2, "relu"), (2, 2, "relu")]
    snn = spikeseq.to_spiking(ann, [images(16)[0]], substeps=3)
    assert sum(isinstance(module, SpikingActivation) for module in snn.modules()) == 1


def test_a_residual_network_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        num_channels=3,
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        num_labels=5,
    )
    torch.manual_seed(0)
    ann = transformers.ResNetForImageClassification(config).eval()
    x = images(64, 32, seed=5)[0]
    with pytest.raises(ValueError, match=r"pooler \(MaxPool2d\): train with average pooling, or"):
        spikeseq.to_spiking(ann, [x])
    for option in ("spikes", "average"):
        snn = spikeseq.to_spiking(ann, [x], max_pool=option, substeps=5)
        assert len(snn.conversion.thresholds) == 5 and snn(x).shape == (64, 5)
        assert sum("folded" in line for line in snn.conversion.changed) == 6
        assert any("average" in line for line in snn.conversion.changed) == (option == "average")

    ann.resnet.embedder.pooler = nn.AvgPool2d(3, 2, 1)

    class Logits(nn.Module):  # for the loop that trains
        def __init__(self) -> None:
            super().__init__()
            self.ann = ann

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.ann(x).logits

    trained(Logits().train(), 32)
    snn = spikeseq.to_spiking(ann, [x], substeps=400, calibration_substeps=20)
    with torch.no_grad():
        assert (ann(x).logits.argmax(1) == snn(x).argmax(1)).float().mean() >= 0.99


def sequential(*layers: nn.Module) -> nn.Sequential:
    """The same weights in every process: with others the smallest currents of `GOOD` may be positive."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 2))


class Functional(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.map, self.relu, self.function = nn.Linear(3, 4), nn.ReLU(), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.relu(self.map(x)))


SPIKING = SpikingNetwork(nn.Sequential(nn.Linear(3, 4), SpikingActivation()))
GOOD = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.3, -0.2]])


@pytest.mark.parametrize(
    ("ann", "batches", "options", "message"),
    [
        (sequential(nn.ReLU6()), [GOOD], {}, r"1 \(ReLU6\): ReLU6 has no spiking counterpart"),
        (sequential(nn.GELU()), [GOOD], {}, r"1 \(GELU\): GELU has no spiking counterpart"),
        (sequential(nn.ReLU(), nn.LayerNorm(4)), [GOOD], {}, r"2 \(LayerNorm\): LayerNorm has no"),
        (sequential(nn.ReLU(), nn.BatchNorm1d(4)), [GOOD], {}, "does not follow a convolution or linear"),
        (sequential(), [GOOD], {}, "no nn.ReLU that is called"),
        (Functional(torch.relu), [GOOD], {}, "model calls relu as a function: make it a module, nn.ReLU"),
        (Functional(nn.functional.relu_), [GOOD], {}, "calls relu as a function"),
        (Functional(torch.sigmoid), [GOOD], {}, "model calls sigmoid: only ReLU becomes spikes"),
        (lambda x: x, [GOOD], {}, "ann must be an nn.Module, got function"),
        (SPIKING, [GOOD], {}, "ann has spiking neurons already, at network.1"),
        (sequential(nn.ReLU()), None, {}, "calibration_batches must be an iterable of Tensors, got NoneType"),
        (sequential(nn.ReLU()), 3, {}, "calibration_batches must be an iterable of Tensors, got int"),
        (sequential(nn.ReLU()), [], {}, "calibration_batches are empty"),
        (sequential(nn.ReLU()), [GOOD, torch.randn(2, 4)], {}, r"fails on calibration batch 2, \(B, 4\): "),
        (sequential(nn.ReLU()), [GOOD, GOOD.double()], {}, "float32 on cpu as the first, got torch.float64"),
        (sequential(nn.ReLU()), [torch.randn(2, 4)], {}, r"fails on calibration batch 1, \(B, 4\): "),
        (sequential(nn.ReLU()), [torch.zeros(0, 3)], {}, r"batch 1 must be \(B, \*\) and not empty"),
        (sequential(nn.ReLU()), [GOOD, torch.ones(2, 3)], {}, "batch 2 is constant, all 1"),
        (sequential(nn.ReLU()), [GOOD / 0], {}, "not finite"),
        (sequential(nn.ReLU()), [GOOD.long()], {}, "floating-point Tensor, got torch.int64"),
        (sequential(nn.ReLU()), [GOOD], {"substeps": 0}, "substeps must be at least 1, got 0"),
        (sequential(nn.ReLU()), [GOOD], {"batch_norm": "drop"}, "'fold', 'keep', got 'drop'"),
        (sequential(nn.ReLU()), [GOOD], {"method": "mean"}, "'max', 'percentile', got 'mean'"),
        (sequential(nn.ReLU()), [GOOD], {"percentile": 0.0}, r"percentile must lie in \(0, 100\], got 0.0"),
        (sequential(nn.ReLU()), [GOOD], {"percentile": "99"}, "percentile must be a number, got '99'"),
        (sequential(nn.ReLU()), [GOOD], {"threshold_scale": 0.0}, "threshold_scale must be a positive"),
        (sequential(nn.ReLU()), [GOOD], {"threshold_scale": "1"}, "threshold_scale must be a number, got"),
        (
            sequential(nn.ReLU()), [GOOD], {"method": "percentile", "percentile": 1.0, "substeps": 7},
            "1: percentile 1 of its currents is -.* with calibration_substeps=7, .* more calibration_substeps"
            r" \(conversion.substeps of a recipe\), or a higher percentile, or method='max'",
        ),
        (
            sequential(nn.ReLU(), nn.Linear(4, 4, bias=False), nn.ReLU()), [GOOD], {"substeps": 1},
            "3: the largest of its currents is .* with calibration_substeps=1, .* more calibration_substeps",
        ),
    ],
)  # fmt: skip
def test_bad_input(ann, batches, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        spikeseq.to_spiking(ann, batches, **options)


def test_batches_of_every_kind_that_the_network_takes():
    class Sequence:  # what torch.utils.data calls a Dataset
        def __getitem__(self, index):
            return [torch.rand(2, 3, 8, 8), 3 * torch.rand(2, 3, 12, 12)][index]

    ann = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        ann[0].weight.abs_()
    for batches in (Sequence(), list(Sequence())):
        small = spikeseq.to_spiking(ann, batches[:1] if isinstance(batches, list) else [batches[0]])
        both = spikeseq.to_spiking(ann, batches, percentile=np.float32(99))
        assert both.conversion.thresholds["1"] > small.conversion.thresholds["1"]


def test_a_relu_under_two_names():
    torch.manual_seed(0)
    relu = nn.ReLU()
    ann = nn.Sequential(nn.Linear(4, 8), relu, nn.Linear(8, 8), relu, nn.Linear(8, 3))
    x = torch.randn(60, 4)
    snn = spikeseq.to_spiking(ann, [x], substeps=500, calibration_substeps=50)
    assert len(snn.conversion.thresholds) == 2
    assert (snn(x).argmax(1) == ann(x).argmax(1)).float().mean() >= 0.95


def test_lower_thresholds_are_exact_with_many_substeps():
    ann, x = trained(Residual()), images(128, seed=5)[0]
    snn = spikeseq.to_spiking(ann, [x], substeps=400, calibration_substeps=20, threshold_scale=0.8)
    assert agreement(ann, snn) >= 0.97


def test_a_map_that_is_used_twice_cannot_carry_the_scale():
    shared = nn.Linear(4, 4, bias=False)
    ann = nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(4, 2, bias=False))
    with pytest.raises(ValueError, match="has no map of its own before it"):
        spikeseq.to_spiking(ann, [torch.randn(20, 4)], substeps=5, balance_by="weights")


def test_poisson_networks_know_whether_inputs_can_be_held():
    ann = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert spikeseq.to_spiking(ann, [GOOD], substeps=20, encoding="poisson").held
