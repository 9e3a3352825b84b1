"""Other libraries, reading what we write and writing what we read: `make test-thirdparty`."""

import pytest
import torch
from exchange_case import SHAPES, networks
from peers import needs

from spikeseq.exchange import READERS, check, from_nir, read_nir, to_nir, write_nir

pytest.importorskip("nir")
NEEDED = {
    "snntorch": ("nirtorch", "snntorch.import_nir"),
    "norse": ("nirtorch", "norse.torch"),
    "spikingjelly": ("nirtorch", "spikingjelly.activation_based.nir_exchange"),
    "sinabs": ("nirtorch", "sinabs.nir"),
    "rockpool": ("nirtorch", "rockpool.nn.modules.torch.nir"),
}
KINDS = ("stack", "feedback", "weighted", "chain", "images")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_hard_resets_pass_exactly(reader, name):
    model, shape = networks()[name], SHAPES.get(name)
    if reader == "rockpool":  # it has no hard reset, which is said without it, too
        with pytest.raises(
            ValueError, match=r"\(hard reset\) neurons of its own|which rockpool has no node for"
        ):
            to_nir(model, shape, reader=reader)
        return
    needs(*NEEDED[reader])
    told = {"settled": True} if reader == "sinabs" else {}
    if reader == "sinabs" and name in ("feedback", "images"):
        with pytest.raises(ValueError, match=r"has feedback, and sinabs runs|\(6, 8, 8\) of leaky"):
            check(model if name == "feedback" else leaky_images(), reader, shape, **told)
        if name == "feedback":
            return
    found = check(model, reader, shape, **told)
    assert found.differing == 0 and found.ours and found.decisions > 1000, str(found)


def leaky_images():
    model = networks()["images"]
    for _, activation in model.activations():
        for lif in activation.neurons:
            lif.leak.data.fill_(0.9)
    return model


def test_sinabs_does_subtraction_exactly_too():
    needs(*NEEDED["sinabs"])
    found = check(networks("soft_immediate")["stack"], "sinabs", settled=True)
    assert found.differing == 0 and found.ours
    assert check(networks()["stack"], "sinabs").share > 0.05  # untold, it subtracts


@pytest.mark.parametrize("name", ["stack", "weighted", "chain"])
def test_rockpool_does_subtraction_exactly_once_it_is_told(name):
    needs(*NEEDED["rockpool"])
    model = networks("soft_immediate")[name]
    found = check(model, "rockpool", settled=True)
    assert found.share < 1e-3 and found.ours  # its synaptic currents are right to 1e-6
    assert check(model, "rockpool").differing > 10 * found.differing
    with pytest.raises(ValueError, match="rockpool can be told soft_immediate after reading"):
        check(networks()[name], "rockpool", settled=True)


@pytest.mark.parametrize("reader", ["norse", "sinabs"])
def test_the_plain_file_is_not_for_everybody(reader):
    needs(*NEEDED[reader])
    assert check(networks()["stack"], reader, plain=True).share > 0.05


@pytest.mark.parametrize("reader", ["snntorch", "spikingjelly"])
def test_two_take_the_step_of_the_plain_file(reader):
    needs(*NEEDED[reader])
    assert check(networks()["stack"], reader, plain=True).differing == 0


@pytest.mark.parametrize("reader", ["snntorch", "norse", "spikingjelly"])
def test_what_is_said_to_be_lost_is_what_is_lost(reader):
    needs(*NEEDED[reader])
    model = networks("soft")["stack"]
    with pytest.warns(UserWarning, match="spike decisions differ") as told:
        from spikeseq.exchange import to_nir

        graph = to_nir(model, reader=reader, lossy=True)
    found = check(model, reader)
    # The share is of all neurons, the check sees those of the last of two layers of one size.
    assert graph.metadata["differing_spikes"] == told[0].message.share
    assert 0.3 < graph.metadata["differing_spikes"] / found.share < 3


def test_settled_is_for_who_can_be_told():
    needs(*NEEDED["sinabs"])
    with pytest.raises(ValueError, match="norse can be told nothing after reading, and the network has hard"):
        check(networks()["stack"], "norse", settled=True)
    with pytest.raises(ValueError, match="sinabs can be told hard or soft_immediate"):
        check(networks("soft")["stack"], "sinabs", settled=True)


def cases():
    from spikeseq.evaluation.exchange.theirs import THEIRS

    return THEIRS


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.library} {case.name} {case.reset}")
@torch.no_grad()
def test_their_files_are_read_as_they_meant_them(case, tmp_path):
    needs(*NEEDED[case.library])
    x = torch.randn(60, 4, 10, generator=torch.Generator().manual_seed(0))
    own, graph, _ = case.make(x)
    write_nir(graph, tmp_path / "theirs.nir")
    ours, _ = from_nir(read_nir(tmp_path / "theirs.nir"), writer=case.library, **case.told)(x)
    share = float((own != ours).float().mean())
    assert own.any() and (share < 0.2 if case.ours else share == 0)


def test_a_missing_reader_is_told_with_the_command():
    for reader, modules in NEEDED.items():
        try:
            needs(*modules)
        except pytest.skip.Exception:
            with pytest.raises(ImportError, match=f"pip install --no-deps '{reader}>="):
                check(networks()["stack"], reader)
