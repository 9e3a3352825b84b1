"""Choosing and building the native kernel, each time in a fresh process.

Where the building is what is tested, a small source stands in for the kernels, which take longer.
"""

import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest
from fresh_process import LIMIT, run, start

from spikeseq.ops import build
from spikeseq.ops.cache import check_private, one_process

# The first use of the kernels builds all of them, on machines where others compute, too.
pytestmark = pytest.mark.timeout(900)

CALL = """
import torch, spikeseq
from spikeseq.functional import lif
torch.manual_seed(0)
x = torch.randn(6, 3, 4, requires_grad=True)
out, state = lif(x, leak=torch.full((4,), 0.9), threshold=0.7, substeps=2, lengths=torch.tensor([6, 0, 4]))
(grad,) = torch.autograd.grad(out.sum() + state.sum(), x)
print(out.sum().item(), state.sum().item(), f"{grad.sum().item():.4f}")
"""

BUILD = """
import ctypes, spikeseq
spikeseq.build("cpu")
print(ctypes.CDLL(spikeseq.backend_info()["native"]["cpu"]).answer())
"""


@pytest.fixture(scope="module")
def native():
    code, out, err = run(CALL, SPIKESEQ_BACKEND="native")
    assert code == 0, err
    return out


@pytest.fixture
def small(tmp_path):
    """Code that puts a source of one function, and its header, in place of the kernels'."""
    folder = tmp_path / "csrc"
    (folder / "cpu").mkdir(parents=True)
    (folder / "answer.h").write_text("#define ANSWER 7\n")
    (folder / "cpu" / "small.cpp").write_text(
        '#include "../answer.h"\nextern "C" int answer() { return ANSWER; }\n'
    )
    return f"import pathlib\nfrom spikeseq.ops import build\nbuild.CSRC = pathlib.Path({str(folder)!r})\n"


def test_the_python_backend_gives_the_same_results(native):
    code, out, err = run(CALL, SPIKESEQ_BACKEND="python", CXX="/bin/false", SPIKESEQ_CACHE="/nonexistent")
    assert (code, out, err) == (0, native, "")


def test_ninja_need_not_be_on_the_path():
    """A virtual environment that is used without activating it."""
    code, out, err = run("""
        import os, shutil
        from spikeseq.ops.build import ninja_on_path
        os.environ["PATH"] = "/nonexistent"
        assert shutil.which("ninja") is None
        with ninja_on_path():
            print(shutil.which("ninja"))
        assert os.environ["PATH"] == "/nonexistent"
        """)
    assert code == 0, err
    assert "ninja" in out


def test_an_unknown_backend_is_refused():
    code, _, err = run(CALL, SPIKESEQ_BACKEND="fortran")
    assert code == 1
    assert err.strip().endswith("ValueError: SPIKESEQ_BACKEND must be auto, native or python, got 'fortran'")


def test_native_without_a_compiler_is_one_clear_error(tmp_path):
    code, _, err = run(CALL, SPIKESEQ_BACKEND="native", CXX="/bin/false", SPIKESEQ_CACHE=str(tmp_path))
    assert code == 1
    assert "BackendError: spikeseq: no native cpu kernel: " in err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("*.so"))


def test_the_compilers_error_is_told_and_not_what_it_says_around_it(tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *-c*) echo "lif.cpp:3:1: error: this chip is too old";'
        ' seq 900; exit 1;; *) exec c++ "$@";; esac'
    )
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    code, _, err = run(
        CALL, SPIKESEQ_BACKEND="native", CXX=str(compiler), SPIKESEQ_CACHE=str(tmp_path / "cache")
    )
    last = err.strip().splitlines()[-1]
    assert code == 1 and "no native cpu kernel: lif.cpp:3:1: error: this chip is too old" in last
    assert "899" not in last


def test_auto_without_a_compiler_warns_once_and_works(tmp_path, native):
    code, out, err = run(
        CALL + "lif(x, leak=0.5, threshold=1.0)\nlif(x, leak=0.5, threshold=1.0)",
        SPIKESEQ_BACKEND="auto", CXX="/bin/false", SPIKESEQ_CACHE=str(tmp_path),
    )  # fmt: skip
    assert (code, out) == (0, native), err
    assert err.count("Python loop runs instead") == 1


def test_auto_with_a_cache_that_cannot_be_written_warns_once_and_works(tmp_path, native):
    (tmp_path / "file").touch()
    code, out, err = run(CALL, SPIKESEQ_BACKEND="auto", SPIKESEQ_CACHE=str(tmp_path / "file"))
    assert (code, out) == (0, native), err
    assert err.count("Python loop runs instead") == 1


def test_two_processes_at_once_build_once(tmp_path, small):
    cache = tmp_path / "cache"
    processes = [start(small + BUILD, SPIKESEQ_BACKEND="native", SPIKESEQ_CACHE=str(cache)) for _ in range(2)]
    done = [process.communicate(timeout=LIMIT) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], done
    assert [out for out, _ in done] == ["7\n", "7\n"]
    assert sum(err.count("building the cpu kernel") for _, err in done) == 1
    (library,) = cache.glob("*.so")
    # A lock file that is left behind is not a lock, and what was built is found.
    assert library.with_suffix(".lock").exists()
    code, out, err = run(
        small + BUILD, SPIKESEQ_BACKEND="native", SPIKESEQ_CACHE=str(cache), CXX="/bin/false"
    )
    assert (code, out, err) == (0, "7\n", "")


def test_a_changed_header_is_another_kernel(tmp_path, small):
    code, out, err = run(
        small
        + """
import ctypes
first, again = build._load("cpu"), build._load("cpu")
(build.CSRC / "answer.h").write_text("#define ANSWER 8\\n")
changed = build._load("cpu")
(build.CSRC / "cpu" / "__init__.cpython-311.pyc").touch()
assert build._load("cpu") == changed
assert first == again != changed
print(*(ctypes.CDLL(str(path)).answer() for path in (first, changed)))
""",
        SPIKESEQ_CACHE=str(tmp_path / "cache"),
    )
    assert (code, out) == (0, "7 8\n"), err
    assert err.count("building the cpu kernel") == 2


def test_a_build_that_is_killed_is_done_anew_by_one_of_those_that_wait(tmp_path, small):
    compiler = tmp_path / "slow-compiler"  # answers questions, and never finishes compiling
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *part_0.cpp*) echo $$ >"$STARTED.part"; mv "$STARTED.part" "$STARTED";'
        ' exec sleep 1000;; *) exec c++ "$@";; esac'
    )
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    cache, started = tmp_path / "cache", tmp_path / "started"
    process = start(
        small + BUILD,
        SPIKESEQ_BACKEND="native", CXX=str(compiler), SPIKESEQ_CACHE=str(cache), STARTED=str(started),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + LIMIT / 2
        while not started.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert started.exists(), process.poll()
        waiting = [start(small + BUILD, SPIKESEQ_BACKEND="native", SPIKESEQ_CACHE=str(cache)) for _ in "ab"]
        process.kill()  # its compiler lives on, and holds no lock
        process.wait()
        done = [one.communicate(timeout=LIMIT / 2) for one in waiting]
        assert [out for out, _ in done] == ["7\n", "7\n"], done
        assert sum(err.count("building the cpu kernel") for _, err in done) == 1
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if started.exists():  # ninja gives each compiler a group of its own
            os.kill(int(started.read_text()), signal.SIGKILL)


def test_a_damaged_library_is_built_anew_and_never_loaded(tmp_path, small):
    cache = tmp_path / "cache"

    def built():
        code, out, err = run(small + BUILD, SPIKESEQ_CACHE=str(cache), SPIKESEQ_BACKEND="native")
        assert (code, out) == (0, "7\n"), err
        return err.count("building the cpu kernel")

    assert built() == 1 and built() == 0
    (library,) = cache.glob("*.so")
    library.write_bytes(library.read_bytes()[:1000])
    (cache / f"{library.stem}.left").mkdir()  # by a build that was killed
    assert built() == 1
    library.with_suffix(".sha256").unlink()
    assert built() == 1
    (cache / "spikeseq_cpu_0123456789abcdef.so").write_bytes(b"of another version, or another machine")
    assert built() == 0  # each has a name of its own
    (cache / "spikeseq_cpu_0123456789abcdef.so").unlink()
    assert sorted(path.suffix for path in cache.iterdir()) == [".lock", ".sha256", ".so"]


def test_a_whole_library_that_this_machine_cannot_load_is_told_by_name(tmp_path, small):
    """As of a system with another C library that shares the folder, where it is of use."""
    code, out, err = run(
        small
        + """
import hashlib
from spikeseq.ops import cache
library = cache.cache_folder() / "spikeseq_cpu_0000.so"
library.parent.mkdir()
library.write_bytes(b"\\x7fELF of another machine")
library.with_suffix(".sha256").write_text(hashlib.sha256(library.read_bytes()).hexdigest())
build.hashlib = type("Same", (), {"sha256": lambda: type("Sum", (), {
    "update": lambda *_: None, "hexdigest": lambda _: "0000"})()})
spikeseq = __import__("spikeseq")
try:
    spikeseq.build("cpu")
except build.BackendError as error:
    print(error)
""",
        SPIKESEQ_CACHE=str(tmp_path / "cache"), SPIKESEQ_BACKEND="native",
    )  # fmt: skip
    assert code == 0 and out.count("\n") == 1, err
    assert "no native cpu kernel" in out and "spikeseq_cpu_0000.so" in out


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files")
def test_a_library_that_others_can_have_written_is_not_loaded(tmp_path, monkeypatch):
    library = tmp_path / "cache" / "kernel.so"
    with one_process(library.with_suffix(".lock")):
        check_private(library)
    assert stat.S_IMODE(library.parent.stat().st_mode) == 0o700
    library.touch()
    check_private(library)
    for path in (library, library.parent, tmp_path):
        mode = path.stat().st_mode
        path.chmod(mode | stat.S_IWOTH)
        with pytest.raises(PermissionError, match=f"{path} can be written by every user; set SPIKESEQ_CACHE"):
            check_private(library)
        path.chmod(mode)
    library.parent.chmod(0o1777)  # as /tmp is: nobody can replace what is another's
    check_private(library)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    if library.stat().st_uid:
        with pytest.raises(PermissionError, match=f"{library} belongs to another user"):
            check_private(library)


def test_building_ahead_says_what_it_has(native):
    code, _, err = run(
        """
        import spikeseq
        spikeseq.build("cpu")
        info = spikeseq.backend_info()
        assert set(info["native"]) >= {"cpu"} and not info["failed"], info
        """,
        SPIKESEQ_BACKEND="auto",
    )
    assert code == 0, err


def test_import_compiles_nothing():
    """The schema alone is enough to trace; a compiler starts at the first eager call."""
    code, _, err = run(
        "import spikeseq.nn, torch; torch.ops.spikeseq.lif.default",
        CXX="/bin/false",
        SPIKESEQ_CACHE="/nonexistent/x",
    )
    assert (code, err) == (0, "")


def test_sources_are_compiled_in_a_few_files_and_none_is_left_out(tmp_path):
    given = build._sources("cpu")
    files = build._joined(given, tmp_path)
    assert len(files) == build.PARTS
    included = [re.findall(r'#include "(.*)"', file.read_text()) for file in files]
    assert sorted(path for paths in included for path in paths) == [str(path) for path in given]
    sizes = [sum(Path(path).stat().st_size for path in paths) for paths in included]
    assert max(sizes) < 1.5 * min(sizes)


def test_cuda_sources_stay_files_of_their_own(tmp_path):
    given = build._sources("cuda")
    alone = [path for path in given if path.suffix == ".cu"]
    assert alone and build._joined(given, tmp_path)[: len(alone)] == alone
