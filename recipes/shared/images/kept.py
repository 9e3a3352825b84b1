"""What a run folder keeps of the images that it was trained on."""

import json
import math
from pathlib import Path
from typing import Any

from spikeseq.recipes.runs import RunError
from spikeseq.recipes.shared.images.data import IMAGES_FILE
from spikeseq.recipes.shared.opened import checked_classes


def read_images(folder: Path) -> dict[str, Any]:
    """As `ImageData.about` has it. Raises RunError for a file that is damaged."""
    path = folder / IMAGES_FILE
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        about = {key: kept[key] for key in ("classes", "channels", "size", "mean", "std")}
        checked_classes(about["classes"])
        for name, least in (("mean", -math.inf), ("std", 0)):
            values = about[name]
            if len(values) != about["channels"] or not all(least < value < math.inf for value in values):
                raise ValueError(f"{name} is {values}; expected a {name} for each channel")
        return about
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
