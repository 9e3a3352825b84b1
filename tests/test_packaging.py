"""What is shipped: wheel and sdist carry the kernel's sources, the configurations and the type marker."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "recipes" / "shipped" / "reviews"
WANTED = [
    "spikeseq/py.typed",
    *(
        f"spikeseq/csrc/{name}"
        for name in ("neuron.h", "problem.h", "neuron_loop.h", "cpu/rows.h", "cpu/lif.cpp", "cuda/lif.cu")
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    return out


def test_wheel(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = (
        "spikeseq/recipes/configs/imdb.yaml",
        *(f"spikeseq/recipes/shipped/reviews/{path.name}" for path in SHIPPED.iterdir()),
        "spikeseq/tokenizers/vocab.py",
        "spikeseq/evaluation/energy/measure.py",
    )
    assert not [name for name in (*WANTED, *folders) if name not in names]
    assert not [
        name for name in names if name.startswith(("tokenizers/", "recipes/", "evaluation/", "tests/"))
    ]


def test_every_source_file_is_in_the_wheel(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in (
        ("spikeseq", ""),
        ("recipes", "spikeseq/"),
        ("tokenizers", "spikeseq/"),
        ("evaluation", "spikeseq/"),
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".cpp", ".cu", ".h", ".yaml"):
                assert package + str(path.relative_to(ROOT)) in names


def test_sdist(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = (
        "recipes/configs/imdb.yaml",
        *(f"recipes/shipped/reviews/{path.name}" for path in SHIPPED.iterdir()),
        "tokenizers/vocab.py",
        "evaluation/energy/measure.py",
        "LICENSE",
        "README.md",
    )
    assert not [name for name in (*WANTED, *folders) if name not in names]
