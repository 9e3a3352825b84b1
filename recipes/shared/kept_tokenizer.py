"""Tokenizers in run folders: the rules that a model was trained with, whatever is installed later."""

from pathlib import Path
from typing import Any

from spikeseq.recipes.runs import RunError, read_metrics
from spikeseq.tokenizers import Tokenizer, build_tokenizer


def open_tokenizer(path: Path, name: str, **settings: Any) -> Tokenizer:
    """The tokenizer `name` of a run, by what the run kept of it: the file `path`.

    Runs of earlier versions kept nothing; they get the one that is installed. `settings` are those of
    `build_tokenizer`.

    Raises:
        RunError: the file is damaged, or holds other rules than the run was trained with.
    """
    if not path.exists():
        return build_tokenizer(name, **settings)
    try:
        tokenizer = build_tokenizer(name, kept=path.read_text(encoding="utf-8"), **settings)
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    metrics = read_metrics(path.parent)  # None in a run that is not finished, and in the cache
    trained = tokenizer.signature() if metrics is None else metrics.get("tokenizer", "")
    if tokenizer.signature() not in trained.split():
        raise RunError(f"{path} is of {tokenizer.signature()}; the run was trained with {trained}")
    return tokenizer
