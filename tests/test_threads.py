"""One model in several threads: what each of them gets is, bit for bit, what one thread alone gets."""

import sys
from functools import partial
from threading import Barrier

import pytest
import torch
from threads_case import in_threads
from torch import nn

import spikeseq
from spikeseq import compile_events, explain, monitor
from spikeseq.debugging import debugging
from spikeseq.evaluation import measure_energy
from spikeseq.events import weights_read
from spikeseq.functional import lif
from spikeseq.functional.events import add_events
from spikeseq.models import SpikingClassifier
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.nn import LIF, SpikingActivation, SpikingConvBlock, SpikingNetwork, SpikingRNN, stack

THREADS, ROUNDS = 3, 3


@pytest.fixture(autouse=True)
def often():
    """Threads take turns every few microseconds, so that they meet in the middle of things."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def given(number, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number), dtype=dtype)


def called(module, *shape, **more):
    """A call of a module with inputs of a thread's own, its state handed on once."""

    def call(number):
        dtype = next(module.parameters()).dtype
        with torch.no_grad():
            out, state = module(given(number, *shape, dtype=dtype), **more)
            again, _ = module(given(number + 50, *shape, dtype=dtype), state, **more)
            return [out, again]

    return call


def learned(module, *shape, **more):
    """The same with gradients of inputs and weights."""

    def call(number):
        x = given(number, *shape, dtype=next(module.parameters()).dtype).requires_grad_()
        out, state = module(x, **more)
        return [out, state, *torch.autograd.grad(out.sum() + state.sum(), [x, *module.parameters()])]

    return call


def of_op(number):
    x = given(number, 7, 3, 4).requires_grad_()
    leak = torch.full((4,), 0.9)
    out, state = lif(x, leak=leak, threshold=0.7, substeps=2, lengths=torch.tensor([7, 0, 4]))
    return [out, state, *torch.autograd.grad(out.sum() + state.sum(), x)]


def of_images(network):
    def call(number):
        x = given(number, 3, 6).requires_grad_()
        out = network(x)
        return [out, *torch.autograd.grad(out.sum(), [x, *network.parameters()])]

    return call


def of_texts(model):
    def call(number):
        with torch.no_grad():
            return [model((given(number, 9, 3) * 5).long().abs() % 11, torch.tensor([9, 1, 5]))]

    return call


def streamed(model):
    """A text, token by token, the state handed on."""

    def call(number):
        found, state = [], None
        with torch.no_grad():
            for token in (given(number, 8) * 5).long().abs() % 11:
                out, state = model(token.view(1, 1), state)
                found.append(out)
        return found

    return call


def language(**changes):
    return SpikingLanguageModel(11, embedding_size=8, neurons=12, layers=2, **changes).eval()


def classifier():
    return SpikingClassifier(11, 2, embedding_size=6, hidden_size=8, substeps=3).eval()


def image_network():
    parts = nn.Linear(6, 8), SpikingActivation(), nn.Linear(8, 4)
    return SpikingNetwork(nn.Sequential(*parts), substeps=4)


CASES = {
    "op": lambda: of_op,
    "LIF": lambda: called(LIF(5), 8, 2, 5),
    "LIF, gradients": lambda: learned(LIF(5), 8, 2, 5),
    "stream": lambda: called(SpikingRNN(5, 6, num_layers=2), 1, 2, 5),
    "layers": lambda: called(
        SpikingRNN(5, 6, num_layers=2, substeps=3), 9, 2, 5, lengths=torch.tensor([9, 4])
    ),
    "both ways": lambda: called(SpikingRNN(5, 6, bidirectional=True), 9, 2, 5),
    "layers, gradients": lambda: learned(SpikingRNN(5, 6, num_layers=2, substeps=3), 9, 2, 5),
    "large, gradients": lambda: learned(SpikingRNN(64, 128, num_layers=2), 32, 16, 64),
    "feedback": lambda: called(SpikingRNN(5, 6, recurrent=True), 9, 2, 5),
    "feedback, gradients": lambda: learned(SpikingRNN(5, 6, recurrent=True), 9, 2, 5),
    "convolutions": lambda: called(SpikingConvBlock(5, kernel_size=3).eval(), 9, 1, 2, 5),
    "network, gradients": lambda: of_images(image_network()),
    "classifier": lambda: of_texts(classifier()),
    "classifier by events": lambda: of_texts(compile_events(classifier())),
    "classifier by events, int8": lambda: of_texts(compile_events(classifier(), weights="int8")),
    "language model": lambda: streamed(language()),
    "language model by events": lambda: streamed(compile_events(language(kernel_size=2, ngrams=(2,)))),
}


def agrees(call, also=None, same=torch.equal):
    """Each thread calls for its own inputs, `also()` runs in one more: all get what one thread alone gets."""
    alone = [call(number) for number in range(THREADS)]

    def work(number):
        if number == THREADS:
            also()
            return
        for _ in range(ROUNDS):
            found = call(number)
            assert len(found) == len(alone[number])
            assert all(map(same, found, alone[number]))

    in_threads(THREADS + (also is not None), work)


@pytest.mark.parametrize("name", CASES)
def test_calls_in_threads(name):
    torch.manual_seed(0)
    agrees(CASES[name]())


def test_two_threads_add_up_gradients_of_shared_weights():
    torch.manual_seed(0)
    rnn = SpikingRNN(5, 6, num_layers=2)

    def learn(number):
        rnn(given(number, 9, 2, 5))[0].sum().backward()

    learn(0), learn(1)
    wanted = [p.grad.clone() for p in rnn.parameters()]
    for _ in range(ROUNDS):
        rnn.zero_grad()
        in_threads(2, learn)
        assert all(torch.equal(p.grad, w) for p, w in zip(rnn.parameters(), wanted, strict=True))


def test_what_events_read_is_counted_in_all_threads(monkeypatch):
    torch.manual_seed(0)
    model, call = (made := compile_events(classifier())), of_texts(made)
    call(0)
    once, together = weights_read(model, reset=True), Barrier(2, timeout=20)

    def meeting(*given):
        reads = add_events(*given)
        together.wait()
        return reads

    monkeypatch.setattr("spikeseq.nn.event_maps.add_events", meeting)
    in_threads(2, lambda _: call(0))
    assert weights_read(model) == 2 * once > 0


X = given(7, 9, 2, 5, dtype=torch.float64)


def of_monitor(rnn):
    with monitor(rnn) as watch:
        rnn(X)
        assert watch.rates() and watch.table()
        watch.reset()


def of_explain(rnn):
    with torch.no_grad():
        assert [record.way for record in explain(rnn, X).records] == ["fused"]


def of_energy(rnn, kept={}):  # noqa: B006
    found = measure_energy(rnn, [(X,)], tokens=18)
    assert found["operations"] == kept.setdefault("operations", found["operations"])


def of_debug(rnn):
    with spikeseq.debug():
        rnn(X)


LOOKS = {"monitor": of_monitor, "explain": of_explain, "energy": of_energy, "debug": of_debug}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("gradients", [False, True], ids=["inference", "gradients"])
def test_one_thread_looks_and_others_call(look, gradients):
    torch.manual_seed(0)
    rnn = SpikingRNN(5, 6, num_layers=2).eval().double()
    LOOKS[look](rnn)
    call = learned(rnn, 9, 2, 5) if gradients else called(rnn, 9, 2, 5)
    # Layers that are watched run one by one, and their products round in another order.
    agrees(call, lambda: [LOOKS[look](rnn) for _ in range(ROUNDS)], partial(torch.allclose, rtol=1e-11))


def test_a_hooked_module_is_counted_alike_while_another_thread_calls_it():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    happens = []

    def hook(*_):
        while happens:
            happens.pop()()

    model[0].register_forward_pre_hook(hook)
    alone = measure_energy(model, [(X,)], tokens=18)["operations"]
    happens.append(lambda: in_threads(1, lambda _: model(X)))
    assert measure_energy(model, [(X,)], tokens=18)["operations"] == alone


def test_a_model_that_counts_is_explained_while_others_call_it():
    torch.manual_seed(0)
    model = compile_events(classifier())
    tokens, lengths = torch.ones(9, 3, dtype=torch.int64), torch.tensor([9, 1, 5])
    agrees(of_texts(model), lambda: [explain(model, tokens, lengths) for _ in range(ROUNDS * 3)])


def test_debug_is_of_its_thread_and_ends_with_it():
    step = Barrier(2, timeout=20)

    def work(number):
        if number:
            step.wait()
        with spikeseq.debug():
            if not number:
                step.wait()
            step.wait()  # both are in it
            with spikeseq.debug(False):
                assert not debugging()
            assert debugging()
            if number:
                step.wait()  # the other has left it
        if not number:
            step.wait()

    in_threads(2, work)
    assert not debugging()


def test_a_plan_that_is_made_while_a_monitor_opens_does_not_pass_it_by(monkeypatch):
    rnn, plain = SpikingRNN(5, 6).double(), stack.plan_maker()

    def make(*given):
        opened.append(monitor(rnn))  # as another thread may, after it was found that nothing is watched
        return plain(*given)

    opened = []
    monkeypatch.setattr(stack, "plan_maker", lambda: make)
    with torch.no_grad():
        rnn(X)
        (watch,) = opened
        rnn(X)
        assert watch.rates()
        watch.close()
