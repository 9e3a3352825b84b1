"""Tokenizers in run folders: the rules that a model was trained with, whatever is installed later."""

from pathlib import Path
from typing import Any

from spikeseq.recipes.manifest import METRICS_FILE, RunError, checked
from spikeseq.recipes.runs import read_metrics
from spikeseq.tokenizers import Tokenizer, build_tokenizer


def open_tokenizer(path: Path, name: str, **settings: Any) -> Tokenizer:
    """The tokenizer `name` of a run, by what the run kept of it: the file `path`.

    Runs of earlier versions kept nothing; they get the one that is installed, if it is the same. `settings`
    are those of `build_tokenizer`.

    Raises:
        RunError: the file is damaged, or holds other rules than the run was trained with, or is missing
            where the installed rules are others.
    """
    kept = checked(path).exists()
    try:
        content = path.read_text(encoding="utf-8") if kept else None
        tokenizer = build_tokenizer(name, kept=content, **settings)
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    metrics = read_metrics(path.parent)  # None in a run that is not finished, and in the cache
    own = tokenizer.signature()
    trained = own if metrics is None else metrics.get("tokenizer", "")
    if not isinstance(trained, str):
        told = f"tokenizer is {trained!r:.40}; expected its name"
        raise RunError(f"{path.with_name(METRICS_FILE)} is damaged: {told}")
    if own in trained.split():
        return tokenizer
    if kept:
        raise RunError(f"{path} is of {own}; the run was trained with {trained}")
    raise RunError(
        f"{path.parent} has no {path.name}, and {own} is installed; the run was trained with {trained}:"
        " put the file back, or install the same version of spaCy"
    )
