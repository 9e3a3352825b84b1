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


def test_making_a_wheel_removes_only_what_that_makes(tmp_path: Path) -> None:
    """The site is in build/, too."""
    make = ["make", "-n", "-C", str(ROOT), "wheel", "WHEEL_TORCHES="]
    said = subprocess.run(make, check=True, capture_output=True, text=True).stdout
    (first, *_) = [line for line in said.splitlines() if line.startswith("rm -rf spikeseq/kernels")]
    gone = (
        "spikeseq/kernels/a.so",
        "build/lib/spikeseq/old.py",
        "build/lib.linux/a",
        "build/bdist.linux-x86_64/a",
    )
    gone += ("dist/spikeseq-0.0.1-py3-none-any.whl",)
    kept = ("build/site/index.html", "build/uv/bin/uv", "dist/mine.tar.gz", "spikeseq/__init__.py")
    for name in (*gone, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(first, shell=True, check=True, cwd=tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)


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
