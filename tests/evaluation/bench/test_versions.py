"""Two versions in two processes: here the same one twice."""

import sys

import pytest

from spikeseq.evaluation.bench import versions


@pytest.mark.parametrize("shared", [False, True])
def test_two_environments_take_turns(shared):
    rows = versions.compare(sys.executable, sys.executable, ["step"], 0.0, shared)
    assert [row["benchmark"] for row in rows] == ["step 2x128"]
    assert rows[0]["rounds"] == versions.FEWEST and rows[0]["old"] > 0 and 0.1 < rows[0]["ratio"] < 10


def test_an_environment_that_cannot_is_named(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeError, match=f"{python} ended with status 3"):
        versions.compare(sys.executable, str(python), ["step"])


@pytest.mark.parametrize(("ratio", "status", "named"), [(1.04, 0, "none"), (1.06, 1, "step 2x128")])
def test_slower_by_more_than_five_percent(monkeypatch, capsys, ratio, status, named):
    row = {"benchmark": "step 2x128", "rounds": 7, "old": 1.0, "new": ratio, "ratio": ratio}
    monkeypatch.setattr(versions, "compare", lambda *_: [row])
    monkeypatch.setattr(sys, "argv", ["versions", "old", "new", "step"])
    assert versions.main() == status
    out, err = capsys.readouterr()
    assert f"x {ratio:.3f}" in out and err.strip().endswith(named)


def test_an_unknown_benchmark(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["versions", "old", "new", "nothing"])
    with pytest.raises(SystemExit):
        versions.main()
    assert "unknown benchmark 'nothing'; choose from lif" in capsys.readouterr().err
