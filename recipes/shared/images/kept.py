"""What a run folder keeps of the images that it was trained on."""

from pathlib import Path
from typing import Any

from spikeseq.recipes.manifest import RunError, read_json, reason
from spikeseq.recipes.shared.images.data import IMAGES_FILE
from spikeseq.recipes.shared.opened import checked_classes


def read_images(folder: Path) -> dict[str, Any]:
    """As `ImageData.about` has it. Raises RunError for a file that is damaged."""
    path = folder / IMAGES_FILE
    try:
        kept = read_json(path)
        about = {key: kept[key] for key in ("classes", "channels", "size", "mean", "std")}
        checked_classes(about["classes"])
        for name, least in (("mean", -1e6), ("std", 0)):
            values = about[name]
            numbers = all(type(value) in (int, float) and least < value < 1e6 for value in values)
            if len(values) != about["channels"] or not numbers:
                raise ValueError(f"{name} is {values}; expected a {name} for each channel")
        return about
    except RunError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {reason(error)}") from None
