from dataclasses import replace

import pytest
import torch

from spikeseq import stdp
from spikeseq.evaluation.bench import run as bench
from spikeseq.evaluation.bench import stdp as bench_stdp
from spikeseq.evaluation.bench import table, timing
from spikeseq.evaluation.bench.peers import Peer

SIZES = replace(bench.Sizes(), stdp=((6, 2),))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(bench_stdp, "LEARNT", 4)
    monkeypatch.setattr(timing, "TURN", 0.0)


def test_dense_beside_pruned_in_images_a_second():
    result = bench.run_bench(["stdp"], ["pruned"], lambda text: None, sizes=SIZES, seconds=0.0)
    titles = [one["title"] for one in result["benchmarks"]]
    assert titles == ["stdp learning 6", "stdp inference 6"]
    for one in result["benchmarks"]:
        assert list(one["contenders"]) == ["spikeseq", "25 %", "10 %"]
        rates = [contender["rate"] for contender in one["contenders"].values()]
        assert all(rate > 0 and unit == "images/s" for rate, unit in rates)
        met = [contender["met"] for contender in one["contenders"].values()]
        assert 1.0 >= met[0] > met[1] > met[2] > 0
    assert "images/s" in table.format_table(result)


def test_another_library_that_is_not_there(monkeypatch):
    absent = Peer("bindsnet", "bindsnet-of-the-test", ("no_such_module",), "")
    monkeypatch.setitem(bench.STDP_PEERS, "bindsnet", absent)
    with pytest.raises(ImportError, match=r"bindsnet cannot be imported.*pip install bindsnet-of-the-test"):
        bench.run_bench(["stdp"], ["bindsnet"], lambda text: None, sizes=SIZES, seconds=0.0)


def test_what_is_not_the_oracle_is_not_timed(monkeypatch):
    def off(plan, learnt, rates, counts, shown, first, batch):
        counts[0] += 1

    monkeypatch.setattr(bench_stdp, "PRESENT", bench_stdp.PRESENT._replace(fused=off))
    with pytest.raises(RuntimeError, match="learning by spike timing with 100% of the synapses disagrees"):
        bench_stdp.check("inference")


def test_pruning_leaves_the_given_network_as_it_is():
    dense, rates = stdp.Network(stdp.Ensemble(784, 5)), bench_stdp.images(2)
    before = dense.get_parameter("weight0").clone()
    made = bench_stdp.pruned(dense, 0.1, rates)
    assert torch.equal(dense.get_parameter("weight0"), before)
    assert stdp.connectivity(made.get_parameter("weight0")) <= 0.1
