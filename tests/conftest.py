"""Take the project's root off sys.path: its `tokenizers/` folder must not shadow Hugging Face's package."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
