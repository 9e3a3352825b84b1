"""What bends a network beside its ReLUs is found whatever it is called; subclasses of what is converted."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import spikeseq
from spikeseq.conversion.affine import check_affine

X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two maps with a ReLU between, and `function` of what comes out of it."""

    def __init__(self, function=lambda x: x, **parts: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first, self.relu = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU()
        self.second = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm, self.act, self.pool, self.drop = (
            parts.get(name, nn.Identity()) for name in ("norm", "act", "pool", "drop")
        )
        self.out = nn.Linear(4, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.pool(self.first(x)))
        x = self.function(self.act(self.norm(self.second(x))))
        return self.out(self.drop(x).mean((2, 3)))


BENT = {
    "clamp_": lambda x: x.clone().clamp_(-0.2, 0.2),
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "amax": lambda x: x - x.amax(1, keepdim=True),
    "pow": lambda x: x.pow(2),
    "product": lambda x: x * x,
    "threshold": lambda x: F.threshold(x, 0.1, 0.0),
    "softplus": F.softplus,
    "abs": torch.abs,
    "odd": lambda x: x / (1 + x.abs()),
    "norm": lambda x: x / x.norm(dim=1, keepdim=True),
}


@pytest.mark.parametrize("name", BENT)
def test_nonlinear_functions_by_any_name(name):
    with pytest.raises(
        ValueError,
        match=r"model (computes something that is nonlinear|calls softplus|calls threshold|calls clamp)",
    ):
        spikeseq.to_spiking(Net(BENT[name]), [X], substeps=3)


def test_what_bends_where_the_inputs_do_not_bring_it():
    """A bias keeps all values that inputs give on one side; spikes of single sub-steps cross over."""
    assert (Net()(X).abs() < 2).all()
    with pytest.raises(ValueError, match="model computes something that is nonlinear"):
        spikeseq.to_spiking(Net(lambda x: (x + 8).abs()), [X], substeps=3)
    spikeseq.to_spiking(Net(lambda x: x + 8), [X], substeps=3)


class Swish(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (1 + torch.pow(2.7, -x))


def test_the_first_that_bends_is_named():
    with pytest.raises(ValueError, match=r"act \(Swish\) computes something that is nonlinear"):
        spikeseq.to_spiking(Net(act=Swish()), [X], substeps=3)
    inside = nn.Sequential(nn.Identity(), Net(lambda x: x * x))
    with pytest.raises(ValueError, match=r"1 \(Net\) computes something that is nonlinear"):
        spikeseq.to_spiking(inside, [X], substeps=3)


def test_chance_and_relus_in_place_that_others_see():
    with pytest.raises(ValueError, match="depends on chance"):
        spikeseq.to_spiking(Net(lambda x: F.dropout(x, 0.5)), [X], substeps=3)

    class Before(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.out((self.second(self.relu(x)) + x).mean((2, 3)))

    spikeseq.to_spiking(Before(), [X], substeps=3)
    ann = Before()
    ann.relu.inplace = True
    with pytest.raises(ValueError, match="a ReLU in place changes what is used elsewhere too"):
        spikeseq.to_spiking(ann, [X], substeps=3)


def test_gates_leave_the_network_as_it_was():
    ann = Net(norm=nn.BatchNorm2d(4)).double().eval()
    before = ann(X.double())
    check_affine(ann, X.double())
    torch.testing.assert_close(ann(X.double()), before, rtol=0, atol=0)
    assert "forward" not in vars(ann.relu) and not ann.relu._forward_hooks


class Norm(nn.BatchNorm2d):
    """Another name for the same."""


class NormAct(nn.BatchNorm2d):
    """Normalisation with an activation inside, as timm has it."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = (self.running_mean, self.running_var, self.weight, self.bias)
        return self.act(F.batch_norm(x, *weights))


class Rectifier(nn.ReLU):
    """Another name for the same."""


class Doubled(nn.ReLU):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Standardised(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight / self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, padding=self.padding)


def test_subclasses_that_compute_the_same():
    ann = Net(norm=Norm(4), act=Rectifier()).eval()
    snn = spikeseq.to_spiking(ann, [X], substeps=800, calibration_substeps=40)
    assert list(snn.conversion.thresholds) == ["relu", "act"]
    assert "norm: folded into second" in str(snn.conversion)
    torch.testing.assert_close(snn(X) / 800, ann(X), atol=0.02, rtol=0)


@pytest.mark.parametrize("batch_norm", ["fold", "keep"])
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"norm": NormAct(4)},
            r"norm \(NormAct\) is a BatchNorm2d with forward .*; put a plain module",
        ),
        ({"act": Doubled()}, r"act \(Doubled\) is a ReLU with forward of its own"),
        ({"norm": nn.BatchNorm2d(4, track_running_stats=False)}, r"norm \(BatchNorm2d\) has no statistics"),
    ],
)
def test_subclasses_and_normalisation_that_cannot_be_converted(parts, message, batch_norm):
    with pytest.raises(ValueError, match=message):
        spikeseq.to_spiking(Net(**parts), [X], substeps=3, batch_norm=batch_norm)


def test_a_map_with_a_weight_of_another_kind():
    ann = Net(norm=nn.BatchNorm2d(4))
    ann.second = Standardised(4, 4, 3, padding=1, bias=False)
    message = r"second \(Standardised\) is a Conv2d with forward .*batch_norm='keep'"
    with pytest.raises(ValueError, match=message):
        spikeseq.to_spiking(ann, [X], substeps=3)
    spikeseq.to_spiking(ann, [X], substeps=3, batch_norm="keep")


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AdaptiveMaxPool2d(4)])
def test_maximum_of_spikes_needs_spikes(pool):
    ann = Net(pool=pool)
    message = r"pool \(\w+\) comes before nn.ReLU, where there are no spikes .*; put it behind"
    with pytest.raises(ValueError, match=message):
        spikeseq.to_spiking(ann, [X], max_pool="spikes", substeps=3)
    ann.pool, ann.function = nn.Identity(), nn.Sequential(nn.ReLU(), pool, nn.Conv2d(4, 4, 1), nn.ReLU())
    assert len(spikeseq.to_spiking(ann, [X], max_pool="spikes", substeps=3).conversion.thresholds) == 3


def test_dropout_that_changes_is_listed():
    for drop, line in {
        nn.Dropout2d(0.3): "drop (Dropout2d): dropout of single values",
        nn.Dropout(1.0): "drop (Dropout): taken out",
    }.items():
        assert line in str(spikeseq.to_spiking(Net(drop=drop), [X], substeps=3).conversion)
    assert spikeseq.to_spiking(Net(drop=nn.Dropout(0.3)), [X], substeps=3).conversion.changed == []
