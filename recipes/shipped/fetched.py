"""Runs that are there without a training: one that comes with the package, others on the Hugging Face hub."""

import re
from pathlib import Path

SHIPPED = Path(__file__).parent / "reviews"
"""The run that comes with the package: a spiking network that tells good film reviews from bad ones."""
PREFIX = "hf://"
NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def fetched(name: str) -> Path:
    """The folder of a run on the hub, `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`, once it is here.

    Raises:
        ValueError: another name, or it cannot be had; ImportError: huggingface_hub is not installed.
    """
    if not NAME.fullmatch(name.removeprefix(PREFIX)):
        raise ValueError(
            f"{name} names no run of the hub; expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ImportError(f"{name} needs huggingface_hub: pip install 'spikeseq[hub]'") from None
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None))
    except Exception as error:  # of the hub, of the network, of the disk
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{name} cannot be fetched: {why}") from None
