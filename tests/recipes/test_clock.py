"""A clock that jumps, during a training or between two, changes neither weights nor times that are told."""

import itertools
import json
import re
import time
from pathlib import Path

import pytest
from recipe_case import quick

import spikeseq
from spikeseq.recipes.config import load_config
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.train import train

DAY, YEAR = 86_400, 31_536_000
PLACES = ("recipes", "spikeseq", "tokenizers", "evaluation")


def result(folder):
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = [[record["loss"], record["validation"]] for record in log]
    return (folder / "model.safetensors").read_bytes(), losses, log


def times(value, name=""):
    """What is said of times, wherever it stands."""
    if isinstance(value, dict):
        return [found for key, inside in value.items() for found in times(inside, f"{name}.{key}")]
    return [value] if "seconds" in name and not name.endswith("per_second") else []


def test_a_clock_that_jumps(cache, tmp_path, monkeypatch):
    config = load_config("imdb", model="bow", overrides=quick("bow"))
    train(config, tmp_path / "whole")
    jumps, real = itertools.cycle([0, -DAY, YEAR, 3, -YEAR]), time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))

    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=Progress(end_epoch=stop))
    monkeypatch.setattr(time, "time", lambda: real() - DAY)
    metrics = train(config, tmp_path / "cut", resume=True)
    assert result(tmp_path / "cut")[:2] == result(tmp_path / "whole")[:2]
    told = times(metrics) + times(dict(enumerate(result(tmp_path / "cut")[2])))
    assert len(told) == 2 + 2 * 2 and all(0 <= seconds < 600 for seconds in told), told


def test_no_time_is_taken_from_a_clock_that_can_jump():
    root, found = Path(__file__).parents[2], []
    assert root in Path(spikeseq.__file__).resolve().parents
    for path in (path for place in PLACES for path in (root / place).rglob("*.py")):
        if re.search(r"\btime\.time(_ns)?\(|\bdatetime\.(now|today|utcnow)\(", path.read_text("utf-8")):
            found.append(str(path.relative_to(root)))
    assert not found
