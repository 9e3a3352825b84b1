"""Names of the package are imported when they are used."""

import subprocess
import sys

import pytest

import spikeseq


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_package_and_its_help_come_without_torch():
    code = "import sys, spikeseq; print('torch' in sys.modules, spikeseq.__version__)"
    assert python(code) == f"False {spikeseq.__version__}"
    code = "import sys; sys.argv = ['spikeseq', '--help']\nfrom spikeseq.cli import main\ntry: main()\n"
    code += "except SystemExit: pass\nassert 'torch' not in sys.modules and 'typer' in sys.modules"
    assert "train" in python(code)


@pytest.mark.parametrize("name", spikeseq.__all__)
def test_every_name_is_there(name):
    assert getattr(spikeseq, name) is not None
    assert name in dir(spikeseq)


def test_every_name_has_its_place():
    named = {*spikeseq._FROM, *spikeseq._NAMESPACES, "__version__", "load"}
    assert named == set(spikeseq.__all__)


@pytest.mark.parametrize("first", ["import spikeseq.swap, spikeseq.monitor", "import spikeseq.nn"])
def test_a_function_is_not_hidden_by_the_file_of_its_name(first):
    code = f"{first}\nimport spikeseq\nfrom spikeseq import swap\nfrom spikeseq.swap import SwappedLSTM\n"
    code += "print(callable(spikeseq.swap), callable(spikeseq.monitor), swap is spikeseq.swap)"
    assert python(code) == "True True True"


def test_what_is_not_there_is_named():
    with pytest.raises(AttributeError, match="no attribute 'swapp'"):
        spikeseq.swapp  # noqa: B018
