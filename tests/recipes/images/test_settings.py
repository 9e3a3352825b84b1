"""Settings of image recipes that are wrong, or that would do nothing."""

import pytest

from spikeseq.recipes.config import check_config, load_config
from spikeseq.recipes.images.checks import augmentation, check_settings
from spikeseq.recipes.images.models import fresh
from spikeseq.recipes.shared.neurons import neuron_arguments


@pytest.mark.parametrize(
    ("method", "model", "setting", "message"),
    [
        ("ann", "vgg6", "model.substeps=7", "model.substeps has no effect with --method ann, .* got 7"),
        ("ann", "vgg6", "model.surrogate=arctan", "model.surrogate has no effect with --method ann"),
        ("ann", "vgg6", "model.stem=imagenet", "no effect on vgg6, only on a resnet; got imagenet"),
        ("ann", "resnet8", "model.hidden=8", "model.hidden has no effect on resnet8, which has no hidden"),
        ("direct", "vgg6", "conversion.scale=2", "conversion.scale has no effect with --method direct"),
        ("ann", "vgg6", "distillation.weight=0.5", "distillation.weight has no effect with --method ann"),
        ("convert", "vgg6", "distillation.weight=0.5", "has no effect with --method convert, .* no teacher"),
        ("diet", "vgg6", "distillation.temperature=2", "no effect without distillation.weight; got 2"),
        ("diet", "vgg6", "distillation.weight=1.5", r"distillation.weight must be in \[0, 1\], got 1.5"),
        (
            "diet",
            "vgg6",
            "distillation.temperature=0",
            "temperature has no effect without distillation.weight",
        ),
        ("convert", "vgg6", "train.epochs=3", "train.epochs has no effect with --method convert, .* got 3"),
        ("convert", "vgg6", "train.spike_penalty=1", "train.spike_penalty has no effect with --method conv"),
        ("convert", "vgg6", "model.surrogate=arctan", "model.surrogate has no effect with --method convert"),
        ("convert", "vgg6", "model.learn_leak=false", "model.learn_leak has no effect with --method convert"),
        ("convert", "vgg6", "model.dropout=0", "model.dropout has no effect with --method convert"),
        ("convert", "vgg6", "data.flip=false", "data.flip has no effect with --method convert"),
        ("direct", "vgg6", "train.batch_tokens=9", "train.batch_tokens has no effect on images; got 9"),
        ("ann", "vgg6", "train.embedding_rate=0", "train.embedding_rate has no effect on images"),
        ("ann", "vgg6", "data.shift=-1", "data.shift must be 0 or more pixels, got -1"),
        ("direct", "vgg6", "model.chunk=0", "model.chunk must be at least 1, got 0"),
        ("ann", "vgg6", "train.batch_size=1", "batch_size must be at least 2 with model.norm=batch, got 1"),
        ("ann", "vgg6", "model.width=.inf", "model.width must be a positive number, got inf"),
        ("ann", "vgg6", "model.dropout=2", r"model.dropout must lie in \[0, 1\), got 2"),
        ("ann", "vgg6", "model.norm=layer", "model.norm must be one of 'none', 'batch', 'batch-steps'"),
        ("ann", "vgg6", "model.norm=batch-steps", "model.norm must be 'none' or 'batch' with activation"),
        ("direct", "vgg6", "model.surrogate=tanh", "model.surrogate must be one of"),
        ("direct", "vgg6", "model.surrogate_width=0", "model.surrogate_width must be a positive number"),
        ("direct", "vgg6", "model.leak=2", r"model.leak must lie in \[0, 1\], got 2"),
        ("direct", "vgg6", "model.encoding=x", "model.encoding must be one of 'direct', 'poisson', got 'x'"),
        ("ann", "vgg16", "data.size=16", "data.size must be at least 32 for so many poolings, got 16"),
        ("ann", "resnet8", "data.size=1", "data.size must be at least 2 with this stem, got 1"),
        ("direct", "vgg6", "data.recipe=mnist", "data.recipe is not changed by --set but by the argument"),
    ],
)
def test_a_wrong_or_idle_setting(method, model, setting, message):
    with pytest.raises(ValueError, match=message):
        config = load_config("cifar10", model=model, method=method, overrides=[setting])
        check_settings(config)
        check_config(config)


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("diet", "conversion.statistic=max"),
        ("convert", "train.batch_size=8"),  # tests use it, too
        ("convert", "model.leak=0.9"),
        ("diet", "model.surrogate=arctan"),
    ],
)
def test_a_setting_with_an_effect(method, setting):
    check_settings(load_config("cifar10", method=method, overrides=[setting]))


@pytest.mark.parametrize("method", ["ann", "convert", "hybrid", "diet", "direct"])
@pytest.mark.parametrize(("recipe", "data"), [("cifar10", "/x"), ("mnist", "sample"), ("imagenet", "hub")])
def test_defaults_are_no_changes(recipe, data, method):
    check_settings(load_config(recipe, method=method, data=data))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.shift=32", "data.shift must be below, .* the image's 32 pixels; got 32 and 4"),
        ("data.erase=33", "data.erase at most, the image's 32 pixels; got 4 and 33"),
    ],
)
def test_augmentation_leaves_something_of_an_image(setting, message):
    with pytest.raises(ValueError, match=message):
        augmentation(load_config("cifar10", method="ann", overrides=[setting]), 32)


def test_augmentation_that_fits():
    augmentation(load_config("cifar10", method="ann", overrides=["data.shift=31"]), 32)
    augmentation(load_config("cifar10", method="convert"), 2)  # which does not augment


def test_a_temperature_is_positive():
    overrides = ["distillation.weight=0.5", "distillation.temperature=0"]
    with pytest.raises(ValueError, match=r"distillation.temperature must be a positive number, got 0"):
        check_config(load_config("cifar10", method="diet", overrides=overrides))


def test_the_percentile_of_a_maximum():
    overrides = ["conversion.statistic=max", "conversion.percentile=98"]
    with pytest.raises(
        ValueError, match=r"conversion.percentile has no effect with conversion.statistic=max"
    ):
        check_settings(load_config("cifar10", method="convert", overrides=overrides))


@pytest.mark.parametrize(
    ("surrogate", "width", "expected"),
    [("piecewise_linear", "null", 1.0), ("approximate_lif", "null", 20.0), ("spike_time", "null", 100.0),
     ("spike_time", "7", 7.0)],
)  # fmt: skip
@pytest.mark.parametrize(("recipe", "method"), [("cifar10", "hybrid"), ("dvs128", "frames")])
def test_a_surrogate_has_a_width_of_its_own(recipe, method, surrogate, width, expected):
    overrides = [f"model.surrogate={surrogate}", f"model.surrogate_width={width}"]
    config = load_config(recipe, method=method, overrides=overrides)
    assert neuron_arguments(config.model)["surrogate"].width == expected


def test_the_hidden_width_is_only_of_those_that_have_one():
    config = load_config("cifar10", model="resnet8", data="/x", overrides=["model.width=0.125"])
    assert config.model.hidden == 512 and fresh(config, 10, 3, 32, spiking=False)
