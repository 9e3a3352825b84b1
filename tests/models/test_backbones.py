import pytest
import torch
from torch import nn

from spikeseq.evaluation.gradients import gradient_norms
from spikeseq.functional import ApproximateLIF, PiecewiseLinear
from spikeseq.models.backbones import BACKBONES, build_backbone
from spikeseq.nn import SpikingNetwork, StepBatchNorm

TINY = {"width": 0.125, "hidden": 16}


def tiny(name: str) -> dict[str, float]:
    return {"width": 0.125} if name.startswith("resnet") else TINY


def maps(model: nn.Module) -> list[nn.Module]:
    """Convolutions and linear maps, without those of shortcuts."""
    return [
        m
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]


@pytest.mark.parametrize("name", BACKBONES)
def test_an_ann_and_its_spiking_twin(name):
    ann, snn = build_backbone(name, **tiny(name)), build_backbone(name, activation="spiking", **tiny(name))
    assert isinstance(snn, SpikingNetwork)
    weights = {f"network.{key}": value.shape for key, value in ann.state_dict().items()}
    twin = {key: value.shape for key, value in snn.state_dict().items() if ".neurons." not in key}
    assert weights == {key: shape for key, shape in twin.items() if not key.endswith("heights")}
    assert all(m.bias is None for m in maps(ann))
    assert not any(isinstance(m, nn.MaxPool2d) for m in ann.modules())
    x = torch.randn(2, 3, 32, 32)
    assert ann(x).shape == snn(x).shape == (2, 10)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name[-1].isdigit()])
def test_the_number_counts_maps(name):
    depth = int("".join(filter(str.isdigit, name)))
    stem = "imagenet" if depth in (34, 50) else "three"
    assert len(maps(build_backbone(name, stem=stem, **tiny(name)))) == depth


def test_published_widths_are_the_default():
    shapes = [tuple(m.weight.shape[:2]) for m in maps(build_backbone("vgg6"))]
    assert shapes == [(64, 3), (128, 64), (128, 128), (4096, 8192), (4096, 4096), (10, 4096)]
    assert maps(build_backbone("vgg6", hidden=512))[3].weight.shape == (512, 8192)


@pytest.mark.parametrize("surrogate", [PiecewiseLinear(height=0.9), ApproximateLIF(height=0.55)], ids=str)
def test_gradients_pass_fifty_layers(surrogate):
    torch.manual_seed(1)
    model = build_backbone(
        "resnet50", activation="spiking", norm="batch", width=0.25, substeps=3, dropout=0.0,
        leak=0.5, surrogate=surrogate,
    )  # fmt: skip
    norms = list(gradient_norms(model, torch.randn(8, 3, 32, 32), torch.arange(8)).values())
    assert len(norms) == 3 + 3 * 16
    assert all(1e-3 < norm / norms[-1] < 1e3 for norm in norms)
    flat = build_backbone("resnet50", activation="spiking", width=0.25, substeps=3)
    assert next(iter(gradient_norms(flat, torch.randn(8, 3, 32, 32), torch.arange(8)).values())) == 0


def test_gradient_norms_by_hand():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.eye(2)
    x = torch.tensor([[1.0, -1.0]])
    norms = gradient_norms(nn.Sequential(layer, nn.ReLU()), x, torch.tensor([0]))
    # softmax of (1, 0): the gradient by the first logit is p - 1; the second passes no ReLU
    assert norms == {"1": pytest.approx(1 - torch.softmax(torch.tensor([1.0, 0.0]), 0)[0].item())}
    assert layer.weight.grad is None
    layer.weight.grad = torch.ones(2, 2)
    assert gradient_norms(nn.Sequential(layer, nn.ReLU(inplace=True)), x, torch.tensor([0])) == norms
    assert layer.weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]  # a training may go on
    with pytest.raises(ValueError, match="no SpikingActivation"):
        gradient_norms(layer, x, torch.tensor([0]))


def test_normalisation_for_each_substep():
    model = build_backbone("vgg6", activation="spiking", norm="batch-steps", substeps=3, **TINY).train()
    assert [len(m.norms) for m in model.modules() if isinstance(m, StepBatchNorm)] == [3] * 5
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "vgg7"}, "name must be one of lenet, .*, got 'vgg7'"),
        ({"name": "vgg16", "size": 16}, "size must be at least 32 for so many poolings, got 16"),
        ({"name": "vgg6", "classes": 0}, "classes must be at least 1, got 0"),
        ({"name": "resnet8", "size": 1}, "size must be at least 2 with this stem, got 1"),
        ({"name": "vgg6", "width": 0.0}, "width must be a positive number, got 0.0"),
        ({"name": "vgg6", "width": float("inf")}, "width must be a positive number, got inf"),
        ({"name": "vgg6", "width": "1"}, "width must be a number, got '1'"),
        ({"name": "vgg6", "dropout": "0.1"}, "dropout must be a number, got '0.1'"),
        ({"name": "vgg6", "stem": "foo"}, "stem must be one of 'three', 'imagenet', got 'foo'"),
        ({"name": "vgg6", "stem": "imagenet"}, "stem is of a resnet, not of vgg6; got 'imagenet'"),
        ({"name": "vgg6", "encoding": "foo"}, "encoding must be one of 'direct', 'poisson', got 'foo'"),
        ({"name": "resnet8", "hidden": 3}, "hidden is not of resnet8, which has no hidden linear layers"),
        ({"name": "vgg6", "hidden": 0}, "hidden must be at least 1, got 0"),
        ({"name": "vgg6", "dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"name": "vgg6", "activation": "tanh"}, "activation must be one of 'relu', 'spiking', got 'tanh'"),
        ({"name": "vgg6", "norm": "layer"}, "norm must be one of 'none', 'batch', 'batch-steps'"),
        ({"name": "vgg6", "norm": "batch-steps"}, "'none' or 'batch' with activation 'relu'"),
        ({"name": "vgg6", "leak": 0.5}, "activation must be 'spiking' with leak, got 'relu'"),
        ({"name": "resnet8", "stem": "two"}, "stem must be one of 'three', 'imagenet', got 'two'"),
        ({"name": "vgg6", "activation": "spiking", "leak": 2.0}, r"leak must lie in \[0, 1\], got 2.0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build_backbone(**options)


@pytest.mark.parametrize("activation", ["relu", "spiking"])
def test_images_of_another_size_are_refused(activation):
    model = build_backbone("vgg6", activation=activation, size=32, **TINY)
    with pytest.raises(
        ValueError, match=r"images must be \(N, 3, 32, 32\) for this network, got \(2, 3, 16, 16\)"
    ):
        model(torch.randn(2, 3, 16, 16))
    with pytest.raises(ValueError, match=r"images must be \(N, 3, height, width\)"):
        build_backbone("resnet8", activation=activation, width=0.125)(torch.randn(2, 1, 16, 16))
    with pytest.raises(TypeError, match=r"images must be floating-point, got torch.uint8"):
        model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
