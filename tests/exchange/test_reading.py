"""What `from_nir` makes of graphs, against the equations by hand, and what it refuses."""

from itertools import pairwise

import h5py
import numpy as np
import pytest
import torch
from exchange_case import networks

from spikeseq.exchange import from_nir, read_nir, to_nir, write_nir

nir = pytest.importorskip("nir")
DT = 1e-3
SLOW = float(np.exp(-0.1))


def lif(size=4, tau=5e-3, r=5.0, threshold=1.0, rest=0.0, back=0.0, kind=nir.LIF, **more):
    full = lambda value: np.full(size, value, np.float64)  # noqa: E731
    return kind(tau=full(tau), r=full(r), v_leak=full(rest), v_threshold=full(threshold), v_reset=full(back))


def chain(*nodes, size=4):
    """A graph of nodes one behind the other."""
    named = {"in": nir.Input(np.array([size])), **{f"n{i}": node for i, node in enumerate(nodes)}}
    named["out"] = nir.Output(np.array([size]))
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)), type_check=False)


def currents(length=60, size=4, scale=0.6):
    return scale * torch.randn(
        length, 2, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def euler(x, leak, gain, threshold, back=0.0, rest=0.0):
    """Hard reset, step by step, as NIR's equations say by Euler's rule."""
    u, out = torch.full_like(x[0], rest), []
    for row in x:
        u = rest + leak * (u - rest) + gain * row
        spikes = u > threshold
        u = torch.where(spikes, torch.full_like(u, back), u)
        out.append(spikes.to(x.dtype))
    return torch.stack(out)


@pytest.mark.parametrize(
    ("node", "values"),
    [
        (lif(), (0.8, 1.0, 1.0)),
        (lif(r=1.0, threshold=0.2), (0.8, 0.2, 0.2)),
        (lif(r=2.5, threshold=0.01), (0.8, 0.5, 0.01)),
        (lif(threshold=1e-5), (0.8, 1.0, 1e-5)),
        (lif(tau=DT, r=1.0), (0.0, 1.0, 1.0)),
        (lif(rest=-65.0, back=-65.0, threshold=-64.0), (0.8, 1.0, -64.0, -65.0, -65.0)),
        (nir.IF(r=np.full(4, 1 / DT), v_threshold=np.ones(4)), (1.0, 1.0, 1.0)),
        (nir.IF(np.full(4, 500.0), np.full(4, 0.7), np.full(4, 0.2)), (1.0, 0.5, 0.7, 0.2, 0.2)),
        (nir.Threshold(np.full(4, 0.3)), (0.0, 1.0, 0.3)),
    ],
)
def test_neurons_follow_the_equations(node, values):
    x = currents()
    out, _ = from_nir(chain(node), dt=DT)(x)
    expected = euler(x, *values)
    assert torch.equal(out, expected) and 0 < expected.mean() < 1


def test_values_of_each_neuron():
    rng = np.random.default_rng(0)
    tau, r, threshold = rng.uniform(2e-3, 9e-3, 4), rng.uniform(1, 5, 4), rng.uniform(0.05, 0.5, 4)
    node = nir.LIF(tau, r, np.zeros(4), threshold)
    leak, gain, above = (torch.as_tensor(one) for one in (1 - DT / tau, r * DT / tau, threshold))
    x = currents()
    assert torch.equal(from_nir(chain(node), dt=DT)(x)[0], euler(x, leak, gain, above))


def test_synapses_and_integrators():
    full = lambda value: np.full(4, value)  # noqa: E731
    node = nir.CubaLIF(full(2e-3), full(4e-3), full(4.0), full(0.0), full(1.0), w_in=full(2.0))
    x = currents()
    synapse, expected = torch.zeros_like(x[0]), []
    for row in x:
        synapse = 0.5 * synapse + row
        expected.append(synapse)
    expected = torch.stack(expected)
    assert torch.equal(from_nir(chain(node), dt=DT)(x)[0], euler(expected, 0.75, 1.0, 1.0))
    node = nir.CubaLI(full(2e-3), full(4e-3), full(4.0), full(0.0), w_in=full(2.0))
    out = from_nir(chain(node), dt=DT)(x)[0]
    by_hand, u = [], torch.zeros_like(x[0])
    for row in expected:
        u = 0.75 * u + row
        by_hand.append(u)
    assert torch.allclose(out, torch.stack(by_hand), atol=1e-12)
    out = from_nir(chain(nir.I(full(2.0 / DT))), dt=DT)(x)[0]
    assert torch.allclose(out, 2 * x.cumsum(0), atol=1e-12)
    assert from_nir(chain(nir.LI(full(2e-3), full(1.0), full(0.0))), dt=DT)(x)[0].isfinite().all()


def test_delays_and_factors():
    x = currents()
    network = from_nir(chain(nir.Delay(np.full(4, 3 * DT)), nir.Scale(np.arange(4.0))), dt=DT)
    expected = torch.cat([torch.zeros_like(x[:3]), x[:-3]]) * torch.arange(4.0)
    assert torch.equal(network(x)[0], expected)
    assert torch.equal(from_nir(chain(nir.Delay(np.zeros(4))), dt=DT)(x)[0], x)


def cyclic(*path, **nodes):
    """in -> a -> out, and a cycle from a through `path` back to it."""
    named = {"in": nir.Input(np.array([4])), **nodes, "out": nir.Output(np.array([4]))}
    ring = ["a", *path, "a"]
    edges = [("in", "a"), ("a", "out"), *pairwise(ring)]
    return nir.NIRGraph(named, edges, type_check=False)


WEIGHT = np.random.default_rng(1).normal(size=(4, 4))


def feedback(x, waits=1, bias=0.0):
    """Leaky neurons that read their own spikes of `waits` steps before."""
    weight, u, out = torch.as_tensor(WEIGHT), torch.zeros_like(x[0]), []
    for t, row in enumerate(x):
        before = out[t - waits] if t >= waits else torch.zeros_like(row)
        u = 0.8 * u + row + before @ weight.T + bias
        out.append((u > 1).to(x.dtype))
        u = u * (1 - out[-1])
    return torch.stack(out)


def test_cycles_come_back_a_step_later_or_after_their_delay():
    x, w = currents(), nir.Linear(WEIGHT)
    expected = feedback(x)
    network = from_nir(cyclic("w", a=lif(), w=w), dt=DT)
    assert torch.equal(network(x)[0], expected) and expected.any()
    with_bias = from_nir(cyclic("w", a=lif(), w=nir.Affine(WEIGHT, np.full(4, 0.1))), dt=DT)
    assert torch.equal(with_bias(x)[0], feedback(x, bias=0.1))
    backwards = cyclic("w", w=nir.Affine(WEIGHT, np.full(4, 0.1)), a=lif())  # as a file may have its nodes
    assert torch.equal(from_nir(backwards, dt=DT)(x)[0], feedback(x, bias=0.1))
    for waits in (1, 2, 5):
        delay = nir.Delay(np.full(4, waits * DT))
        network = from_nir(cyclic("w", "d", a=lif(), w=w, d=delay), dt=DT)
        assert torch.equal(network(x)[0], feedback(x, waits))
    ring = {"a": lif(), "w": w, "b": lif(tau=DT, r=1.0, threshold=0.5), "d": nir.Delay(np.full(4, DT))}
    network = from_nir(cyclic("w", "b", "d", **ring), dt=DT)  # two layers, and one delay says where it waits
    assert network(x)[0].shape == x.shape


def test_streamed_it_is_the_same():
    x = currents()
    delay = nir.Delay(np.full(4, 3 * DT))
    for graph in (
        chain(lif(), nir.Affine(WEIGHT, np.ones(4)), delay, lif(r=2.0)),
        cyclic("w", "d", a=lif(), w=nir.Linear(WEIGHT), d=delay),
        cyclic("w", a=lif(), w=nir.Affine(WEIGHT, np.ones(4))),
        cyclic("w", a=lif(), w=nir.Linear(WEIGHT)),
    ):
        network = from_nir(graph, dt=DT)
        whole, end = network(x)
        state, found = None, []
        for part in x.split([1, 7, 30, 22]):
            out, state = network(part, state)
            found.append(out)
        assert torch.equal(torch.cat(found), whole)
        assert state.keys() == end.keys() and all(torch.equal(state[key], end[key]) for key in end)


def test_it_can_be_trained_on():
    network = from_nir(chain(nir.Affine(WEIGHT.astype(np.float32), np.zeros(4, np.float32)), lif()), dt=DT)
    network(currents().float())[0].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_graphs_inside_graphs():
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([4])), "deeper": chain(lif()), "output": nir.Output(np.array([4]))},
        [("input", "deeper"), ("deeper", "output")],
        type_check=False,
    )
    inner.nodes["a.b"] = inner.nodes.pop("input")
    inner.edges = [("a.b", "deeper"), ("deeper", "output")]
    x = currents()
    assert torch.equal(from_nir(chain(inner, nir.Scale(np.ones(4))), dt=DT)(x)[0], euler(x, 0.8, 1.0, 1.0))


@pytest.mark.parametrize(
    ("writer", "node", "more", "leak", "gain"),
    [
        ("snntorch", lif(tau=1e-3, r=10.0), {"reset": "hard"}, 0.9, 1.0),
        ("spikingjelly", lif(tau=5e-4, r=1.0), {}, 0.8, 0.2),
        ("norse", lif(tau=1e-5, r=1.0), {}, 0.9, 0.1),
        ("sinabs", lif(tau=10.0, r=1.0), {"norm_input": False, "reset": "hard"}, np.exp(-0.1), 1.0),
        (
            "sinabs",
            lif(tau=10.0, r=1.0),
            {"norm_input": True, "reset": "hard"},
            np.exp(-0.1),
            1 - np.exp(-0.1),
        ),
    ],
)
def test_what_each_library_means_by_its_files(writer, node, more, leak, gain):
    x = currents(scale=1 / gain)
    out, _ = from_nir(chain(node), writer=writer, **more)(x)
    expected = euler(x, leak, gain, 1.0)
    assert torch.equal(out, expected) and expected.any()


def test_the_reset_that_a_file_lost_must_be_said():
    with pytest.raises(ValueError, match="snntorch writes all of its resets alike: say reset='soft'"):
        from_nir(chain(lif()), writer="snntorch")
    with pytest.raises(ValueError, match="reset must be hard for writer='spikingjelly', got 'soft'"):
        from_nir(chain(lif()), writer="spikingjelly", reset="soft")
    with pytest.raises(ValueError, match="sinabs does not write whether neurons weight their input"):
        from_nir(chain(lif()), writer="sinabs")
    with pytest.raises(ValueError, match="norm_input goes with writer='sinabs'"):
        from_nir(chain(lif()), dt=DT, norm_input=True)


class Strange(nir.NIRNode):
    def __init__(self):
        self.input_type, self.output_type, self.metadata = {"input": None}, {"output": None}, {}


REFUSED = {
    "time step": (lambda: (chain(lif()), {}), "says no time step; give dt= or writer=.*snntorch 0.0001"),
    "bad step": (lambda: (chain(lif()), {"dt": -1.0}), "dt must be a positive number"),
    "writer": (lambda: (chain(lif()), {"writer": "lava"}), "writer must be one of None, 'snntorch'"),
    "unknown": (lambda: (chain(Strange()), {"dt": DT}), "n0 is a Strange, which is not among"),
    "units": (lambda: (chain(lif(tau=5e-3)), {"dt": 0.1}), "time constant of 0.005, shorter than"),
    "negative": (lambda: (chain(lif(tau=-1.0)), {"dt": DT}), "time constant of -1; expected positive"),
    "delay": (
        lambda: (chain(nir.Delay(np.full(4, 2.5 * DT))), {"dt": DT}),
        "n0 delays by 0.0025, which the time step 0.001 does not divide",
    ),
    "delays": (lambda: (chain(nir.Delay(np.arange(4) * DT)), {"dt": DT}), "expected one delay"),
    "reset": (lambda: (chain(lif(back=-0.5)), {"dt": DT}), "resets to -0.5 and rests at 0; neurons of ours"),
    "threshold": (lambda: (chain(lif(threshold=0.0)), {"dt": DT}), "threshold 0 above rest"),
    "nan": (lambda: (chain(lif(r=float("nan"))), {"dt": DT}), "not finite"),
    "cycle": (
        lambda: (cyclic("w", a=nir.Scale(np.ones(4)), w=nir.Linear(WEIGHT)), {"dt": DT}),
        "the cycle .* has no delay: none of its parts remembers a step",
    ),
    "cycle of two": (
        lambda: (cyclic("b", a=lif(), b=lif()), {"dt": DT}),
        "several layers of neurons .* and no nir.Delay of a step",
    ),
    "no input": (lambda: (nir.NIRGraph({"a": lif()}, [], type_check=False), {"dt": DT}), "has 0 Input nodes"),
    "no source": (
        lambda: (nir.NIRGraph({"in": nir.Input(np.array([4])), "a": lif(), "out": nir.Output(np.array([4]))},
                              [("a", "out")], type_check=False), {"dt": DT}),
        "a is fed by nothing",
    ),
    "edge": (
        lambda: (nir.NIRGraph({"in": nir.Input(np.array([4])), "out": nir.Output(np.array([4]))},
                              [("in", "x"), ("in", "out")], type_check=False), {"dt": DT}),
        "the edge from in to x names a node that is not there",
    ),
    "substeps": (lambda: (chain(lif()), {"dt": DT, "substeps": 0}), "substeps must be"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named(case):
    made, message = REFUSED[case]
    graph, more = made()
    with pytest.raises(ValueError, match=message):
        from_nir(graph, **more)


def test_our_own_words_are_heeded(tmp_path):
    graph = to_nir(networks()["stack"])
    with pytest.raises(ValueError, match=r"dt is 0.0001 in the graph's own metadata, got 0.001"):
        from_nir(graph, dt=1e-3)
    graph.metadata["spikeseq_format"] = 99
    write_nir(graph, tmp_path / "a.nir")
    with pytest.raises(ValueError, match="written by a newer spikeseq"):
        from_nir(tmp_path / "a.nir")
    with pytest.raises(TypeError, match="or a path, got int"):
        from_nir(3)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "a.nir"
    with pytest.raises(ValueError, match="is not a file"):
        read_nir(path)
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match="is no whole NIR file"):
        read_nir(path)
    write_nir(to_nir(networks()["stack"]), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is no whole NIR file"):
        read_nir(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        del file["version"]
        file["version"] = "99.0.1"
    with pytest.raises(ValueError, match=r"by nir 99.0.1, newer than the installed .*pip install -U nir"):
        read_nir(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        name = next(name for name in file["node/nodes"] if "neurons" in name)
        del file[f"node/nodes/{name}/type"]
        file[f"node/nodes/{name}/type"] = "Izhikevich"
    with pytest.raises(ValueError, match=r"neurons.* is a Izhikevich, which is not among the nodes we know"):
        read_nir(path)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with pytest.raises(ValueError, match="holds no NIR graph"):
        read_nir(path)


@pytest.mark.parametrize("mark", [b"HEAP", b"SNOD", b"TREE"])
def test_files_that_are_damaged_inside(tmp_path, mark):
    """Blocks of HDF5 that are not what they say: h5py raises KeyError, RuntimeError or OSError for them."""
    path = tmp_path / "a.nir"
    write_nir(to_nir(networks()["stack"]), path)
    whole = path.read_bytes()
    places = [i for i in range(len(whole)) if whole.startswith(mark, i)]
    for place in places[:: max(1, len(places) // 5)]:
        path.write_bytes(whole[:place] + b"none" + whole[place + 4 :])
        with pytest.raises(ValueError, match=r"a\.nir (is no whole|cannot be|holds no|: )"):
            from_nir(path)


def test_strings_that_do_not_add_up_are_refused(tmp_path):
    """HDF5 looks through such a heap for ever."""
    path = tmp_path / "a.nir"
    write_nir(to_nir(networks()["stack"]), path)
    whole = path.read_bytes()
    heap = whole.index(b"GCOL")
    for size in (0, 2**40, 2**64 - 1):
        for number in (b"\0\0", b"\1\0"):
            head = number + whole[heap + 18 : heap + 24] + size.to_bytes(8, "little")
            path.write_bytes(whole[: heap + 16] + head + whole[heap + 32 :])
            if size or number == b"\0\0":
                with pytest.raises(ValueError, match=r"a\.nir is no whole NIR file: the strings at byte \d+"):
                    read_nir(path)


def test_arrays_larger_than_their_file_can_hold_are_refused(tmp_path):
    path = tmp_path / "a.nir"
    write_nir(to_nir(networks()["stack"]), path)
    with h5py.File(path, "r+") as file:
        file.create_dataset("node/nodes/large", shape=(2**40,), dtype="f4", chunks=(2**20,))
    with pytest.raises(ValueError, match=r"a\.nir says that it holds [\d,]+ bytes of arrays; expected"):
        read_nir(path)


def test_what_a_file_says_wrong_is_told_by_its_name(tmp_path):
    graph = to_nir(networks()["stack"])
    for name, value in (("substeps", 0), ("readout", "none"), ("dt", -1.0)):
        before, graph.metadata[name] = graph.metadata.get(name), value
        write_nir(graph, tmp_path / "a.nir")
        with pytest.raises(ValueError, match=rf"a\.nir: {name} must"):
            from_nir(tmp_path / "a.nir")
        graph.metadata[name] = before
        if before is None:
            del graph.metadata[name]


def test_inputs_of_another_shape_are_refused():
    network = from_nir(chain(lif()), dt=DT)
    for shape in ((3, 2, 5), (3, 4), (0, 2, 4)):
        with pytest.raises(ValueError, match=r"x must be \(L, B, 4\) with L > 0"):
            network(torch.zeros(shape))
