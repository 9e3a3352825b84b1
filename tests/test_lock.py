"""The lock of continuous integration holds, by hash, all that the package and its tests need but torch."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / ".ci").glob("lock-*.txt"))
APART = {"neurobench", "snntorch", "tonic"}  # installed without what they name: torchaudio, librosa
pytestmark = pytest.mark.parametrize("lock", LOCKS, ids=[lock.stem for lock in LOCKS])


def pinned(lock):
    """Versions by name."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", lock.read_text(encoding="utf-8"), re.MULTILINE))


def test_every_line_is_a_version_or_a_hash(lock):
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    odd = [
        line
        for line in lines
        if not re.fullmatch(r"[a-z0-9-]+==[\w.]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line)
    ]
    assert not odd, odd[:3]
    heads = [i for i, line in enumerate(lines) if "==" in line]
    assert all("--hash=" in lines[i + 1] for i in heads) and len(heads) == len(pinned(lock)) > 100


def test_it_holds_all_that_is_needed(lock):
    """What the extra `all` asks for, what that asks for, and so on, of what is installed here."""
    versions, waiting, seen = pinned(lock), [Requirement("spikeseq[all]")], set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if (name, tuple(one.extras)) in seen or name == "torch" or name.startswith("nvidia-"):
            continue
        seen.add((name, tuple(one.extras)))
        if name != "spikeseq":
            assert name in versions, f"{one} is not in {lock.name}; run `make lock`"
            assert one.specifier.contains(versions[name], prereleases=True), f"{one}: {versions[name]}"
        try:
            named = [] if name in APART else requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
        for text in named:
            more = Requirement(text)
            extras = ["", *one.extras]
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(more)
    assert len(seen) > 100
    assert set(versions) >= APART and "torch" not in versions
