"""What a run of few bits takes over from the run that `--from` names: settings, and weights to begin with."""

from pathlib import Path
from typing import Any

from spikeseq.recipes import runs
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.recipe import Start

KINDS = ("lstm", "gru")
OWN = {"model.bits", "model.rectified"}
"""What such a run has beside."""


def shape(model: Any) -> dict[str, Any]:
    """The section `model` as `build_classifier` takes it: without the run that it starts from."""
    return {key: value for key, value in model.items() if key != "start"}


def inherited(start: Path, recipe: str, model: str | None) -> Start:
    """Model, data and settings of the run, as `--set` has them.

    Raises:
        ConfigError: the run is of another recipe or model than can be started from.
        runs.RunError: it is not a finished run.
    """
    config = predecessor(start, recipe)
    if model is not None and model != config.model.name:
        raise ConfigError(f"--from {start} is of the model {config.model.name!r}, --model says {model!r}")
    return taken_over(config)


def taken_over(config: Any) -> Start:
    """As `inherited`, of the configuration of that run."""
    from spikeseq.recipes.config import changes  # late: it imports OmegaConf

    kept = {key: value for key, value in changes(config).items() if key.startswith(("data.", "model."))}
    settings = [
        f"{key}={'null' if value is None else value}" for key, value in kept.items() if key not in OWN
    ]
    return Start(config.model.name, config.data.source, settings)


def predecessor(start: Path, recipe: str) -> Any:
    """The configuration of a run in float32 that one of few bits can start from; raises as `inherited`."""
    runs.finished(start)
    config = runs.read_config(start)
    if config.recipe != recipe:
        raise ConfigError(f"--from {start} is a run of the recipe {config.recipe!r}, not of {recipe!r}")
    if config.model.name not in KINDS or config.model.bits is not None:
        known = " or ".join(KINDS)
        raise ConfigError(f"--from takes a run of {known} without model.bits; {start} is none")
    return config


def check_start(config: Any) -> None:
    """What can be told of the run that this one starts from before data is read; raises as `inherited`."""
    if config.model.get("start") is None:
        return
    if config.model.bits is None:
        raise ConfigError("--from goes with --set model.bits=8, 4 or 3; give it, or leave --from out")
    before = predecessor(Path(config.model.start), config.recipe)
    for key in ("name", "embedding_size", "hidden_size", "ngrams", "ngram_rows"):
        if config.model[key] != before.model[key]:
            values = f"{config.model[key]}, the run {config.model.start} has {before.model[key]}"
            raise ConfigError(f"model.{key} is {values}; they must be equal")


def take_weights(model: Any, start: Path, vocabulary: Any) -> None:
    """Puts the weights of the run `start` into a fresh model of few bits.

    Raises:
        ConfigError: the run was trained with another vocabulary.
    """
    before = runs.load(start)
    if before.vocab.to_dict() != vocabulary.to_dict():
        raise ConfigError(f"--from {start} was trained with another vocabulary; give it the same data")
    model.rnn.take(before.model.rnn)
    for name in ("embedding", "ngrams", "readout"):
        if getattr(model, name) is not None:
            getattr(model, name).load_state_dict(getattr(before.model, name).state_dict())
