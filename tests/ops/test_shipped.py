"""Kernels that came with the package: taken where they fit; told in a line, and not taken, where they do not.

A small source stands in for the kernels, and a folder for that in the package.
"""

import platform
import shutil

import pytest
from fresh_process import run

from spikeseq.ops import shipped

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="none are shipped for others")

ANSWER = """
import ctypes, spikeseq
spikeseq.build("cpu")
print(ctypes.CDLL(spikeseq.backend_info()["native"]["cpu"]).answer())
"""
NO_COMPILER = {"CXX": "/bin/false", "SPIKESEQ_BACKEND": "native"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with sources and the kernel that is shipped of them."""
    place = tmp_path_factory.mktemp("package")
    (place / "csrc" / "cpu").mkdir(parents=True)
    (place / "csrc" / "cpu" / "small.cpp").write_text('extern "C" int answer() { return 7; }\n')
    code, _, err = run(package(place) + "build.ship()", SPIKESEQ_CACHE=str(place / "maker"))
    assert code == 0, err
    assert not (place / "maker").exists()
    return place


def package(place):
    """Code that puts these sources and kernels in the place of the package's."""
    return f"""
import pathlib
from spikeseq.ops import build, shipped
place = pathlib.Path({str(place)!r})
build.CSRC = place / "csrc"
shipped.FOLDER = build.FOLDER = place / "kernels"
"""


def test_no_compiler_is_needed_and_none_is_exchanged(place, tmp_path):
    cache = tmp_path / "cache"
    code, out, err = run(
        package(place) + ANSWER + "spikeseq.build(own=True)", SPIKESEQ_CACHE=str(cache), **NO_COMPILER
    )
    assert (code, out) == (1, "7\n")
    assert err.splitlines()[-1].endswith(" is loaded already; call build(own=True) before it is used")
    assert not cache.exists()


def test_one_that_was_built_here_goes_first(place, tmp_path):
    where = "\nprint(spikeseq.backend_info()['native']['cpu'])"
    own = ANSWER.replace('build("cpu")', 'build("cpu", own=True)')
    cache = {"SPIKESEQ_CACHE": str(tmp_path)}
    code, out, err = run(package(place) + own + where, SPIKESEQ_BACKEND="native", **cache)
    assert code == 0 and err.count("building the cpu kernel") == 1, err
    code, again, err = run(package(place) + ANSWER + where, **NO_COMPILER, **cache)
    assert (code, again, err) == (0, out, "") and str(tmp_path) in out


def test_under_another_torch_a_line_says_so_and_one_is_built(place, tmp_path):
    code, out, err = run(
        f"{package(place)}import torch\ntorch.__version__ = '9.9.1+cpu'\n{ANSWER}",
        SPIKESEQ_CACHE=str(tmp_path), SPIKESEQ_BACKEND="native",
    )  # fmt: skip
    assert (code, out) == (0, "7\n"), err
    first, second = err.splitlines()
    assert "the kernels that came are spikeseq_cpu_" in first and "_torch9.9" in first
    assert "building the cpu kernel" in second


GOOD = "flags\t: " + " ".join(shipped.ASKED)
MISFITS = {
    "other sources": ({"digest": "f" * 64}, "the kernels that came are spikeseq_cpu_"),
    "an old processor": ({"processor": "flags : sse2 avx"}, "a processor with abm, avx2, bmi1, bmi2, f16c,"),
    "another machine": ({"machine": "riscv64"}, "the kernels that came are for x86-64, not for riscv64"),
    "damaged": ({"damage": True}, " is damaged"),
    "none": ({"folder": "nothing"}, ""),
    "another device": ({"device": "cuda"}, ""),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_not_taken(place, tmp_path, monkeypatch, case):
    change, told = MISFITS[case]
    shutil.copytree(place / "kernels", tmp_path / "kernels")
    (path,) = tmp_path.glob("kernels/*.so")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / change.get("folder", "kernels"))
    digest = path.name.split("_")[2]
    assert shipped.shipped("cpu", digest, GOOD) == ((None, "") if "folder" in change else (path, ""))
    if "machine" in change:
        monkeypatch.setattr(platform, "machine", lambda: change["machine"])
    if "damage" in change:
        path.write_bytes(path.read_bytes()[:99])
    given = change.get("device", "cpu"), change.get("digest", digest), change.get("processor", GOOD)
    found, why = shipped.shipped(*given)
    assert found is None and told in why and bool(told) == bool(why)
