"""Models, and calls of `explain` on them: a row for every op, way and reason."""

import copy
from types import SimpleNamespace

import torch
from torch import nn
from torch.autograd import forward_ad

import spikeseq
from spikeseq.explain import Explanation, Record, explain
from spikeseq.functional import SpikeTime, lif
from spikeseq.functional.events import add_events
from spikeseq.functional.linear_lif import linear_lif as map_and_neurons
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.models.sentiment import SpikingClassifier
from spikeseq.neuron import Neuron
from spikeseq.nn import LIF, NormalisedLIF, SpikingConvBlock, SpikingRNN, SpikingRNNCell, TokenConv1d
from spikeseq.nn.activation import SpikingActivation
from spikeseq.nn.network import SpikingNetwork
from spikeseq.ops import dispatch, linear_lif, recurrent
from spikeseq.ops.conv import CONV as CONVOLUTION
from spikeseq.ops.events import EVENTS as EVENT_OP
from spikeseq.ops.taps import TAPS
from spikeseq.stdp import Ensemble, Network, Presentation

X = torch.randn(5, 2, 3)
SPIKES = (torch.rand(5, 2, 64, generator=torch.Generator().manual_seed(0)) < 0.1).float()


class Sub(torch.Tensor):
    pass


class Wrapper(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *args, **rest):
        return self.inner(*args, **rest)


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def rnn(change=lambda m: None, **options):
    torch.manual_seed(0)
    model = SpikingRNN(3, 4, **{"num_layers": 2, **options}).eval()
    change(model)
    return model


def stdp():
    return Network(Ensemble(3, 2), presentation=Presentation(time=5.0, repeats=0))


def quiet(model, *inputs, **rest):
    with torch.no_grad():
        return explain(model, *inputs, **rest)


def inside(context, model, *inputs):
    """Explains within a context, or within what is called with a function."""
    found = []

    def run(x):
        found.append(explain(model, x))
        return model(x)[0].sum()

    context(run, *inputs)
    return found[0]


def compiled(model, *inputs):
    return explain(torch.compile(model, backend="eager"), *inputs)


def jit(run, x):
    torch.jit.trace(lambda x: run(x), (x,), check_trace=False)


def dual(run, x):
    with forward_ad.dual_level():
        run(x)


def autocast(model, *inputs):
    with torch.autocast("cpu", torch.bfloat16):
        return quiet(model, *inputs)


def rounding(model, *inputs):
    torch.set_float32_matmul_precision("medium")
    try:
        return quiet(model, *inputs)
    finally:
        torch.set_float32_matmul_precision("highest")


def watching(model, *inputs):
    with spikeseq.monitor(model):
        return explain(model, *inputs)


def unit(op, reason):
    """A reason of other hardware, or of inputs that the plain way refuses: asked of `fits` itself."""
    return Explanation([Record("", "", op, "plain", reason)])


def hooked(part):
    def change(model):
        model.get_submodule(part).register_forward_hook(lambda *args: None)

    return change


def wrapped(path):
    def change(model):
        parent, _, name = path.rpartition(".")
        parent = model.get_submodule(parent)
        setattr(parent, name, Wrapper(getattr(parent, name)))

    return change


def no_bias(model):
    model.layers[0].input_map.bias = None


def other_reset(model):
    model.layers[0].lif.reset = "hard"


def sparse(model):
    linear = model.layers[0].input_map
    linear.weight = nn.Parameter(linear.weight.detach().to_sparse_csr())


def feedback_bias(model):
    model.layers[0].feedback = nn.Linear(4, 4)


def norm_only(norm="layer", dtype=None, **changes):
    layer = NormalisedLIF(8, substeps=2, norm=norm).to(dtype)
    for name, value in changes.items():
        setattr(layer, name, value)
    return layer


def streamed():
    return spikeseq.compile_events(SpikingLanguageModel(5, embedding_size=4, neurons=6, layers=2))


def by_events(weights="float32"):
    return spikeseq.compile_events(SpikingClassifier(5, embedding_size=4, hidden_size=8), weights)


def convolution(change=lambda m: None, dtype=None):
    """A network that convolves 8 images of 16 x 16 pixels and 32 channels."""
    conv = nn.Conv2d(32, 32, 3, padding=1)
    change(conv)
    return SpikingNetwork(nn.Sequential(conv, SpikingActivation()), substeps=1).to(dtype)


def strided(conv):
    conv.stride = (2, 2)


def seldom(conv):
    """Of 24 channels."""
    conv.weight = nn.Parameter(torch.ones(24, 32, 3, 3))
    conv.bias = None


def reason_of_conv(x, weight):
    return unit("conv3x3", CONVOLUTION.fits(x, weight, None, 1, 1, 1, 1))


IMAGES = torch.randn(8, 32, 16, 16)
TEXT = torch.tensor([[1, 2], [0, 4]])
PHRASES = TEXT, torch.tensor([2, 2])
CURRENTS = torch.randn(3, 2, 2, 8)
NEURON = Neuron(torch.ones(1), torch.ones(1), surrogate=SpikeTime())
TOKENS = Neuron(torch.ones(5, 2, 4), torch.ones(1))
CONV = TokenConv1d(64, 128, causal=True)
EVENTS = Calls(lambda x: add_events(x.new_zeros(len(x), 8), x, x.new_ones(6, 8)))

# op, way, path, reason (None for the fused way), and what explains it
ROWS = [
    # all layers in one call
    ("lif_stack", "fused", "", None, lambda: quiet(rnn(), X)),
    ("lif_stack", "plain", "", "gradients may be wanted (no torch.no_grad())", lambda: explain(rnn(), X)),
    ("lif_stack", "plain", "", "texts padded, or lengths not int64", lambda: quiet(rnn(), X, lengths=[5, 2])),
    ("lif_stack", "fused", "", None, lambda: quiet(rnn(), X, lengths=torch.tensor([5, 5]))),
    ("lif_stack", "fused", "spiking", None, lambda: quiet(by_events(), *PHRASES)),
    ("lif_stack", "plain", "spiking", "weights of 8 bits are summed in whole numbers",
     lambda: quiet(by_events("int8"), *PHRASES)),
    ("lif_stack", "plain", "", "the input is a Sub", lambda: quiet(rnn(), X.as_subclass(Sub))),
    ("lif_stack", "plain", "", "traced by torch.compile", lambda: torch.no_grad()(compiled)(rnn(), X)),
    ("lif_stack", "plain", "", "on meta", lambda: quiet(rnn().to("meta"), X.to("meta"))),
    ("lif_stack", "plain", "", "float16 input", lambda: quiet(rnn().half(), X.half())),
    ("lif_stack", "plain", "", "under autocast", lambda: autocast(rnn(), X)),
    ("lif_stack", "plain", "", "it reads in both directions", lambda: quiet(rnn(bidirectional=True), X)),
    ("lif_stack", "plain", "", "dropout acts between the layers", lambda: quiet(rnn(dropout=0.5).train(), X)),
    ("lif_stack", "plain", "", "between (SequenceDropout) has forward hooks",
     lambda: quiet(rnn(hooked("between")), X)),
    ("lif_stack", "plain", "", "between (Wrapper) is of a class of its own",
     lambda: quiet(rnn(wrapped("between")), X)),
    ("lif_stack", "plain", "", "layers.1 (Wrapper) is of a class of its own",
     lambda: quiet(rnn(wrapped("layers.1")), X)),
    ("lif_stack", "plain", "", "layers.1.input_map (Linear) has forward hooks",
     lambda: quiet(rnn(hooked("layers.1.input_map")), X)),
    ("lif_stack", "plain", "", "surrogate spike_time remembers",
     lambda: quiet(rnn(surrogate=SpikeTime()), X)),
    ("lif_stack", "plain", "", "norm_input weights the currents", lambda: quiet(rnn(norm_input=True), X)),
    ("lif_stack", "plain", "", "layers have feedback", lambda: quiet(rnn(recurrent=True), X)),
    ("lif_stack", "plain", "", "a norm (LayerNorm) stands between map and neurons",
     lambda: quiet(rnn(norm="layer"), X)),
    ("lif_stack", "plain", "", "layers reset in different ways", lambda: quiet(rnn(other_reset), X)),
    ("lif_stack", "plain", "", "some layers have a bias and some have none", lambda: quiet(rnn(no_bias), X)),
    ("lif_stack", "plain", "", "layers.0.input_map (Linear) has a sparse or quantised weight",
     lambda: quiet(rnn(sparse), X)),
    # language models
    ("language_stream", "fused", "", None, lambda: explain(streamed(), TEXT)),
    ("language_stream", "plain", "", "on meta", lambda: explain(streamed().to("meta"), TEXT.to("meta"))),
    ("language_stream", "plain", "", "bfloat16 table", lambda: explain(streamed().bfloat16(), TEXT)),
    # map and neurons
    ("linear_lif", "fused", "layers.1", None, lambda: explain(rnn(), X)),
    ("linear_lif", "plain", "layers.0", "traced by torch.compile", lambda: compiled(rnn(), X)),
    ("linear_lif", "plain", "layers.0", "traced by torch.jit",
     lambda: inside(jit, rnn().requires_grad_(False), X)),
    ("linear_lif", "plain", "layers.0", "inside a transform of torch.func",
     lambda: inside(lambda run, x: torch.func.grad(run)(x), rnn(), X)),
    ("linear_lif", "plain", "layers.0", "under forward-mode differentiation",
     lambda: inside(dual, rnn(), X)),
    ("linear_lif", "plain", "layers.0", "on meta", lambda: quiet(rnn().to("meta"), X.to("meta"))),
    ("linear_lif", "plain", "layers.0", "under autocast", lambda: autocast(rnn(), X)),
    ("linear_lif", "plain", "layers.0", "bfloat16 input", lambda: quiet(rnn().bfloat16(), X.bfloat16())),
    ("linear_lif", "plain", "layers.0", "a norm (LayerNorm) stands between map and neurons",
     lambda: explain(rnn(norm="layer"), X)),
    ("linear_lif", "plain", "layers.1", "layers.1.input_map (Linear) has forward hooks",
     lambda: explain(rnn(hooked("layers.1.input_map")), X)),
    ("linear_lif", "plain", "layers.1", "layers.1.lif (Wrapper) is of a class of its own",
     lambda: explain(rnn(wrapped("layers.1.lif")), X)),
    ("linear_lif", "fused", "layer", None, lambda: explain(SpikingRNNCell(3, 4), X[0])),
    ("linear_lif", "plain", "", dispatch.NO_FIT,
     lambda: unit("linear_lif", linear_lif.fits(X, torch.ones(4, 2), None, None))),
    ("linear_lif", "plain", "", "the weight is a Sub",
     lambda: unit("linear_lif", linear_lif.fits(X, torch.ones(4, 3).as_subclass(Sub), None, None))),
    ("linear_lif", "plain", "", "the weight is sparse",
     lambda: unit("linear_lif", linear_lif.fits(X, torch.ones(4, 3).to_sparse(), None, None))),
    ("linear_lif", "plain", "", "the bias is on meta, the input on cpu",
     lambda: unit("linear_lif", linear_lif.fits(
         X, torch.ones(4, 3), torch.ones(4, device="meta"), None))),
    ("linear_lif", "plain", "", "float64 weight, float32 input",
     lambda: unit("linear_lif", linear_lif.fits(X, torch.ones(4, 3).double(), None, None))),
    ("linear_lif", "plain", "layers.0", "layers.0.lif (LIF) is watched", lambda: watching(rnn(), X)),
    ("linear_lif", "fused", "layers.0", None, lambda: explain(rnn(norm_input=True), X)),
    ("linear_lif", "fused", "", None, lambda: explain(Calls(lambda x: map_and_neurons(
        x, torch.ones(4, 3), leak=TOKENS.leak, threshold=1.0)), X)),
    # its product
    ("packed_product", "fused", "layers.0", None,
     lambda: explain(SpikingRNN(64, 4), SPIKES)),
    ("packed_product", "plain", "layers.0", "the input is not spikes of one value",
     lambda: explain(rnn(), X)),
    ("packed_product", "plain", "layers.0", "more than 40% of the input's neurons fired",
     lambda: explain(rnn(), torch.ones_like(X))),
    # feedback
    ("lif_recurrent", "fused", "layers.0", None, lambda: explain(rnn(recurrent=True), X)),
    ("lif_recurrent", "plain", "layers.0", "traced by torch.compile",
     lambda: compiled(rnn(recurrent=True), X)),
    ("lif_recurrent", "plain", "layers.0", "float16 currents",
     lambda: explain(rnn(recurrent=True).half(), X.half())),
    ("lif_recurrent", "plain", "layers.0", "on meta",
     lambda: explain(rnn(recurrent=True).to("meta"), X.to("meta"))),
    ("lif_recurrent", "plain", "layers.0", "layers.0.feedback (Linear) has forward hooks",
     lambda: explain(rnn(hooked("layers.0.feedback"), recurrent=True), X)),
    ("lif_recurrent", "plain", "layers.0", "layers.0.feedback has a bias",
     lambda: explain(rnn(feedback_bias, recurrent=True), X)),
    ("lif_recurrent", "plain", "layers.0", "surrogate spike_time remembers",
     lambda: explain(rnn(recurrent=True, surrogate=SpikeTime()), X)),
    ("lif_recurrent", "plain", "layers.0", "norm_input weights the currents",
     lambda: explain(rnn(recurrent=True, norm_input=True), X)),
    ("lif_recurrent", "plain", "", "a leak for every token",
     lambda: unit("lif_recurrent", recurrent.fits(X, None, torch.ones(4, 4), TOKENS))),
    ("lif_recurrent", "plain", "", dispatch.NO_FIT,
     lambda: unit("lif_recurrent", recurrent.fits(X, None, torch.ones(4, 4), NEURON))),
    ("lif_recurrent", "plain", "", "9000 neurons are more than a block of CUDA threads follows",
     lambda: unit("lif_recurrent", recurrent.too_wide(
         SimpleNamespace(is_cuda=True, shape=(1, 1, 9000), element_size=lambda: 4)))),
    # neurons
    ("lif", "fused", "", None, lambda: explain(LIF(), X)),
    ("lif", "fused", "", None, lambda: explain(LIF().half(), X.half())),
    ("lif", "fused", "", None, lambda: compiled(LIF(), X)),
    ("lif", "fused", "", None, lambda: explain(Calls(lambda x: lif(x, leak=0.9, threshold=1.0)), X)),
    ("lif", "fused", "", None, lambda: explain(LIF(norm_input=True), X)),
    ("lif", "fused", "", None, lambda: explain(LIF(), X, leak=torch.ones_like(X))),
    ("lif", "fused", "layers.1.lif", None, lambda: explain(rnn(hooked("layers.1.input_map")), X)),
    ("lif", "fused", "", None, lambda: inside(lambda run, x: torch.func.vmap(run)(x), LIF(), X.unsqueeze(0))),
    ("lif", "python loop", "", "under forward-mode differentiation", lambda: inside(dual, LIF(), X)),
    # normalised neurons
    ("norm_lif", "fused", "", None, lambda: explain(norm_only(), CURRENTS)),
    ("norm_lif", "plain", "", "traced by torch.compile", lambda: compiled(norm_only(), CURRENTS)),
    ("norm_lif", "plain", "", "on meta", lambda: explain(norm_only().to("meta"), CURRENTS.to("meta"))),
    ("norm_lif", "plain", "", "bfloat16 currents",
     lambda: explain(norm_only(dtype=torch.bfloat16), CURRENTS.bfloat16())),
    ("norm_lif", "plain", "", "float64 gain, float32 input",
     lambda: explain(norm_only(gain=nn.Parameter(torch.ones(8).double())), CURRENTS)),
    ("norm_lif", "plain", "", "norm_input weights the currents",
     lambda: explain(norm_only(norm_input=True), CURRENTS)),
    ("norm_lif", "plain", "", "norm='batch' is not part of the op",
     lambda: explain(norm_only("batch"), CURRENTS)),
    ("norm_lif", "plain", "", "norm='none' is not part of the op",
     lambda: explain(norm_only("none"), CURRENTS)),
    ("norm_lif", "fused", "activation", None, lambda: explain(SpikingConvBlock(8, substeps=2), CURRENTS)),
    # images
    ("conv3x3", "fused", "network.0", None, lambda: explain(convolution(), IMAGES)),
    ("conv3x3", "plain", "network.0", "a convolution other than 3 x 3 with stride, padding and groups 1",
     lambda: explain(convolution(strided), IMAGES)),
    ("conv3x3", "plain", "network.0", "channels that are not multiples of 8 from 32 on",
     lambda: explain(convolution(seldom), IMAGES)),
    ("conv3x3", "plain", "network.0", "under autocast", lambda: autocast(convolution(), IMAGES)),
    ("conv3x3", "plain", "network.0", "products may be rounded", lambda: rounding(convolution(), IMAGES)),
    ("conv3x3", "plain", "", "too little work to gain",
     lambda: reason_of_conv(IMAGES[:2], torch.ones(32, 32, 3, 3))),
    ("conv3x3", "plain", "", "float64 images",
     lambda: reason_of_conv(IMAGES.double(), torch.ones(32, 32, 3, 3).double())),
    ("conv3x3", "plain", "", "float64 weight, float32 input",
     lambda: reason_of_conv(IMAGES, torch.ones(32, 32, 3, 3).double())),
    ("conv3x3", "plain", "", dispatch.NO_FIT, lambda: reason_of_conv(IMAGES, torch.ones(32, 8, 3, 3))),
    # taps
    ("add_taps", "fused", "", None, lambda: explain(CONV, SPIKES)),
    ("add_taps", "plain", "", "the input is too dense to gain from events",
     lambda: explain(CONV, torch.ones_like(SPIKES))),
    ("add_taps", "plain", "", "traced by torch.compile", lambda: compiled(CONV, SPIKES)),
    ("add_taps", "plain", "", "on meta", lambda: unit("add_taps", TAPS.fits(X, X.to("meta")))),
    ("add_taps", "plain", "", "bfloat16 input",
     lambda: explain(copy.deepcopy(CONV).bfloat16(), SPIKES.bfloat16())),
    ("add_taps", "plain", "", "float64 base, float32 input",
     lambda: unit("add_taps", TAPS.fits(torch.zeros(5, 2, 4).double(), X))),
    # events
    ("add_events", "fused", "", None, lambda: explain(EVENTS, torch.ones(2, 6))),
    ("add_events", "plain", "", "bfloat16 input", lambda: explain(EVENTS, torch.ones(2, 6).bfloat16())),
    ("add_events", "plain", "", "on meta",
     lambda: unit("add_events", EVENT_OP.fits(None, torch.ones(2, 6, device="meta")))),
    # examples shown to a network that learns by spike timing
    ("stdp_present", "fused", "", None, lambda: explain(stdp(), torch.full((1, 3), 50.0))),
]  # fmt: skip
