"""The folder `tokenizers` installs as `spikeseq.tokenizers`: it must not shadow the Hugging Face package."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import spikeseq.tokenizers

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import importlib.util
spec = importlib.util.find_spec("tokenizers")
print("" if spec is None else spec.origin or list(spec.submodule_search_locations)[0])
"""


def outside_the_project(found: str) -> bool:
    return not found or ROOT / "tokenizers" not in (Path(found).resolve(), Path(found).resolve().parent)


def test_a_plain_import_of_tokenizers_does_not_find_ours(tmp_path):
    for folder in (tmp_path, ROOT / "tests"):
        ran = subprocess.run(
            [sys.executable, "-c", SHOW], cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stderr
        assert outside_the_project(ran.stdout.strip()), ran.stdout


def test_in_this_process_ours_is_found_under_spikeseq_only():
    spec = importlib.util.find_spec("tokenizers")
    assert spec is None or outside_the_project(str(spec.origin))
    assert spikeseq.tokenizers.__name__ == "spikeseq.tokenizers"
    assert sys.modules.get("tokenizers") is not spikeseq.tokenizers
    shipped = {path.name for path in (ROOT / "tokenizers").glob("*.py")}
    assert shipped <= {path.name for path in Path(spikeseq.tokenizers.__file__).parent.glob("*.py")}


def test_everything_promised_is_there():
    for name in spikeseq.tokenizers.__all__:
        assert getattr(spikeseq.tokenizers, name).__doc__
