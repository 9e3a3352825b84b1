"""The benchmark of exported files."""

from dataclasses import replace

import pytest

from spikeseq.evaluation.bench import run as bench


def test_a_file_for_onnxruntime_beside_the_model():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    sizes = replace(bench.Sizes(), export=(6, 20, 8))
    result = bench.run_bench(["export"], ["onnxruntime"], print, sizes=sizes, seconds=0.05)
    found = result["benchmarks"]
    assert [one["title"] for one in found] == ["export 6x1", "export token"]
    assert all(one["contenders"]["onnxruntime"]["bytes"] > 0 for one in found)


def test_where_nothing_is_installed(monkeypatch):
    family = bench.FAMILIES["export"]
    monkeypatch.setitem(bench.FAMILIES, "export", bench.Family(family.peers, family.make, lambda: "lacking"))
    with pytest.raises(ValueError, match="lacking"):
        bench.choose(["export"], [])
