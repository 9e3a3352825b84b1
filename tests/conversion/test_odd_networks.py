"""Networks that hold odd modules, or hold them at two places: converted as called, or refused by name."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import spikeseq

X = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))


def network(*, norm: bool = False, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    first = [nn.Linear(3, 6, bias=bias), *([nn.BatchNorm1d(6)] * norm), nn.ReLU()]
    return nn.Sequential(*first, nn.Linear(6, 6, bias=bias), nn.ReLU(), nn.Linear(6, 2, bias=bias)).eval()


def convert(ann: nn.Module, **options) -> nn.Module:
    return spikeseq.to_spiking(ann, [X], **{"substeps": 400, "calibration_substeps": 20, **options})


def agrees(ann: nn.Module) -> None:
    torch.testing.assert_close(convert(ann)(X) / 400, ann(X), atol=0.05, rtol=0.0)


@pytest.mark.parametrize("called", [False, True])
def test_pruned_maps(called):  # case 1.4
    ann = network(norm=True)
    prune.l1_unstructured(ann[0], "weight", 0.5)
    if called:
        with torch.no_grad():
            ann(X)
    with pytest.raises(
        ValueError, match=r"^0 \(Linear\) has a weight that is made.*prune\.remove.*batch_norm='keep'"
    ):
        convert(ann)
    ann = network()
    prune.l1_unstructured(ann[0], "weight", 0.5)
    agrees(ann)


class Held(nn.Module):
    def __init__(self, hold) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)
        self.held = hold(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.held[0](self.first(x)))


def test_modules_outside_the_registered_ones():
    with pytest.raises(ValueError, match=r"^held keeps a Sequential outside .*, and calls it"):
        convert(Held(lambda m: [nn.Sequential(nn.Linear(6, 6), nn.ReLU())]))
    with pytest.raises(ValueError, match=r"^relu \(ReLU\) is kept in held too, where it would stay"):
        convert(Held(lambda m: [m.relu]))
    ann = network()
    ann.teacher = [network()]  # kept, and not called
    agrees(ann)


def test_shared_weights_are_not_scaled_twice():
    ann = network(bias=False)
    ann.add_module(
        "more", nn.Sequential(nn.ReLU(), nn.Linear(2, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False))
    )
    ann.more[1].weight = nn.Parameter(torch.rand(6, 2))
    ann[2].weight = nn.Parameter(torch.rand(6, 6))
    convert(ann, balance_by="weights")
    ann[4].weight = nn.Parameter(torch.rand(2, 6))
    ann.more[3].weight = ann[4].weight
    with pytest.raises(ValueError, match=r"\(Linear\) shares weights with .*take balance_by='thresholds'"):
        convert(ann, balance_by="weights")


class ByKeyword(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self:
            x = part(input=x)
        return x


def test_parts_that_are_called_by_keyword():
    ann = ByKeyword(*network(norm=True), nn.Dropout(0.1)).eval()
    agrees(ann)


@pytest.mark.filterwarnings("ignore")
def test_quantised_parts_are_named():
    ann = torch.ao.quantization.quantize_dynamic(network(), {nn.Linear})
    with pytest.raises(ValueError, match=r"^0 \(Linear\) is quantised; convert the model as it was before"):
        convert(ann)


class Scaled(ByKeyword):
    def forward(self, x: torch.Tensor, scale: float) -> torch.Tensor:
        return super().forward(x) * scale


def test_networks_of_several_inputs_are_refused():
    with pytest.raises(ValueError, match=r"fails on calibration batch 1, \(B, 3\): .*'scale'"):
        convert(Scaled(*network()))


def test_what_bends_is_named_where_arguments_are_given_by_name():
    class Bent(nn.Module):
        def forward(self, x):
            return x * x.abs()

    class ByName(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.last = network(), nn.Linear(2, 2)
            self.bent = Bent()

        def forward(self, x):
            return self.last(input=self.bent(x=self.layers(input=x)))

    with pytest.raises(ValueError, match=r"bent \(Bent\) computes something that is nonlinear"):
        convert(ByName())


def test_functions_in_hooks_are_named():
    ann = network()
    ann[2].register_forward_pre_hook(lambda module, args: (torch.tanh(args[0]),))
    with pytest.raises(ValueError, match="2 calls tanh: only ReLU becomes spikes"):
        convert(ann)
    assert len(ann[2]._forward_pre_hooks) == 1 and not ann[0]._forward_hooks


@pytest.mark.parametrize("batch_norm", ["fold", "keep"])
def test_batch_normalisation_without_gain_and_offset(batch_norm):
    ann = network(norm=True)
    ann[1] = nn.BatchNorm1d(6, affine=False)
    ann[1](ann[0](X))
    ann.eval()
    torch.testing.assert_close(convert(ann, batch_norm=batch_norm)(X) / 400, ann(X), atol=0.05, rtol=0.0)


class Indexed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(3, 6), nn.ReLU(), nn.Linear(3, 2)
        self.pool = nn.MaxPool1d(2, return_indices=True)

    def forward(self, x):
        return self.last(self.pool(self.relu(self.first(x)))[0])


@pytest.mark.parametrize("max_pool", ["error", "average", "spikes"])
def test_pooling_that_returns_more_than_values_is_named(max_pool):
    with pytest.raises(ValueError, match=r"pool \(MaxPool1d\) returns indices as well; put one there"):
        convert(Indexed(), max_pool=max_pool)


def test_where_new_tensors_are_made_does_not_matter():
    ann = network(norm=True)
    with torch.device("meta"):
        done = convert(ann)
    assert torch.equal(done(X), convert(ann)(X))


def test_what_has_no_values_is_refused():
    with pytest.raises(ValueError, match="calibration batch 1 has no values: it is fake, or on meta"):
        spikeseq.to_spiking(network().to("meta"), [X.to("meta")])
    program = torch.export.export(network(), (X,)).module()
    with pytest.raises(ValueError, match="the network fails on calibration batch 1"):
        convert(program)
