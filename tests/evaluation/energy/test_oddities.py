"""What others do to modules is counted as it happens, or named: a matrix of kinds of change and of layers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize, prune

from spikeseq.evaluation import measure_energy
from spikeseq.functional import lif
from spikeseq.models.seq2seq.stacks import SpikingStack
from spikeseq.nn import (
    LIF,
    AdditiveAttention,
    CausalConv1d,
    DotAttention,
    SpikingRNN,
)

pytestmark = pytest.mark.filterwarnings("ignore")
X = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))  # (L, B, features)
EXTRA = (
    3 * 2 * 4 * 4
)  # MACs of one more 4 x 4 matrix, and a place for it in every layer below: 4 features out


class Attend(nn.Module):
    """Attention of x on itself."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        return self.attention(x, self.attention.prepare(x))[0]


class SelfAttention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x)[0]


class First(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)[0]


# Layer, name of the part to be changed in it, MACs and ACs of a pass over X are those of the plain one.
LAYERS = {
    "linear": lambda: nn.Sequential(nn.Linear(4, 4)),
    "conv": lambda: nn.Sequential(nn.Conv1d(2, 2, 3, padding=1)),
    "embedding": lambda: nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4)),
    "lstm": lambda: nn.Sequential(First(nn.LSTM(4, 4))),
    "layer norm": lambda: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4)),
    "attention": lambda: nn.Sequential(Attend(DotAttention(4, 4, 4))),
    "additive": lambda: nn.Sequential(Attend(AdditiveAttention(4, 4))),
    "multihead": lambda: nn.Sequential(SelfAttention(4, 2)),
    "spiking": lambda: nn.Sequential(First(SpikingRNN(4, 4, num_layers=2, substeps=3))),
    "feedback": lambda: nn.Sequential(First(SpikingRNN(4, 4, recurrent=True))),
    "causal": lambda: nn.Sequential(First(CausalConv1d(4, 4, 2))),
    "stack": lambda: nn.Sequential(First(SpikingStack(4, 4, layers=2))),
}


def given(name):
    return torch.tensor([[1, 2], [3, 4], [0, 1]]) if name == "embedding" else X


def measured(name, model):
    found = measure_energy(model, [(given(name),)], tokens=1)
    return found, (found["macs"], found["acs"])


def plain(name):
    torch.manual_seed(1)
    return LAYERS[name]()


def with_matrix(module, args, output):
    """A hook that multiplies what comes out by one more matrix, and leaves it as it is."""
    first = output[0] if isinstance(output, tuple) else output
    analog = torch.linspace(0.1, 0.9123, first.numel()).view_as(first)
    analog @ torch.full((first.shape[-1], 4), 0.3)


def parts(model):
    return [(n, m) for n, m in model.named_modules() if n]


@pytest.mark.parametrize("name", LAYERS)
def test_a_matrix_in_a_hook_is_counted_wherever_it_hangs(name):
    _, expected = measured(name, plain(name))
    names = [n for n, _ in parts(plain(name))]
    for place in names:
        model, calls = plain(name), []
        module = model.get_submodule(place)

        def hook(module, args, output, calls=calls):
            first = output[0] if isinstance(output, tuple) else output
            calls.append(first.numel() * 4)
            with_matrix(module, args, output)

        module.register_forward_hook(hook)
        found, (macs, acs) = measured(name, model)
        assert macs + acs == pytest.approx(sum(expected) + sum(calls)), place
        assert found["not_counted"] == [], place


@pytest.mark.parametrize("name", LAYERS)
def test_hooks_that_only_look_change_nothing(name):
    model = plain(name)
    expected, _ = measured(name, model)
    for _, module in parts(model):
        module.register_forward_hook(lambda module, args, output: None)
        module.register_forward_pre_hook(lambda module, args: None)
        module.register_full_backward_hook(lambda module, *args: None)
    found, _ = measured(name, model)
    assert found == expected


def subclassed(module):
    """The module with a forward of its class's, and one matrix more; the kind of case 1.5."""
    kind = type(module)

    def forward(self, *args, **kwargs):
        out = kind.forward(self, *args, **kwargs)
        first = out[0] if isinstance(out, tuple) else out
        self.calls.append(first.numel() * 4)
        with_matrix(self, args, out)
        return out

    other = copy.deepcopy(module)
    other.__class__ = type("Own", (kind,), {"forward": forward})
    other.calls = []
    return other


@pytest.mark.parametrize("name", LAYERS)
def test_a_subclass_is_counted_or_named(name):
    """Case 1.5: its own products are in, or it is named; never less than what it does, silently."""
    _, expected = measured(name, plain(name))
    for place, module in parts(plain(name)):
        if isinstance(module, Attend | First | SelfAttention | nn.ModuleList):
            continue
        model = plain(name)
        holder, _, last = place.rpartition(".")
        own = subclassed(model.get_submodule(place))
        setattr(model.get_submodule(holder), last, own)
        found, (macs, acs) = measured(name, model)
        total = sum(expected) + sum(own.calls)
        if isinstance(module, LIF):  # neurons of one's own: their updates are missing
            assert any(place in one for one in found["not_counted"])
        else:
            assert macs + acs == pytest.approx(total), (place, found["not_counted"])


class Twice(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.register_buffer("matrix", torch.eye(size))

    def forward(self, weight):
        return weight @ self.matrix


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("how", ["parametrization", "pruning"])
def test_weights_made_anew_are_counted_as_weights(name, how):
    _, expected = measured(name, plain(name))
    for place, module in parts(plain(name)):
        weights = [n for n, p in module.named_parameters(recurse=False) if p.dim() > 1]
        for weight in weights[:1]:
            model = plain(name)
            module = model.get_submodule(place)
            size = getattr(module, weight).numel() * getattr(module, weight).shape[-1]
            if how == "pruning":
                prune.random_unstructured(module, weight, 0.3)
                extra = 0
            else:
                parametrize.register_parametrization(module, weight, Twice(getattr(module, weight).shape[-1]))
                extra = size
            found, (macs, acs) = measured(name, model)
            assert found["not_counted"] == [], place
            done = macs + acs - sum(expected)
            # Spikes differ with the weights, and a weight may be made several times in a call.
            if "spik" not in name and name not in ("stack", "feedback"):
                assert done == 0 if not extra else done >= extra and done % extra == 0, place


PRODUCTS = {
    "matmul": (lambda a, b: torch.linalg.matmul(a, b), 5 * 4 * 6),
    "inner": (lambda a, b: torch.inner(a, b.t()), 5 * 4 * 6),
    "outer": (lambda a, b: torch.outer(a[:, 0], b[0]), 5 * 6),
    "dot": (lambda a, b: torch.dot(a[0], b[:, 0]), 4),
    "vdot": (lambda a, b: torch.vdot(a[0], b[:, 0]), 4),
    "vecdot": (lambda a, b: torch.linalg.vecdot(a, a * 2), 5 * 4),
    "at": (lambda a, b: a @ b, 5 * 4 * 6),
    "rmatmul": (lambda a, b: a.__matmul__(b), 5 * 4 * 6),
    "mv": (lambda a, b: torch.mv(a, b[:, 0]), 5 * 4),
    "addmv": (lambda a, b: torch.addmv(a[:, 0], a, b[:, 0]), 5 * 4),
    "addmm": (lambda a, b: torch.addmm(b[0], a, b), 5 * 4 * 6),
    "addr": (lambda a, b: torch.addr(a @ b * 0, a[:, 0], b[0]), 5 * 4 * 6 + 5 * 6),
    "bmm": (lambda a, b: torch.bmm(a[None], b[None]), 5 * 4 * 6),
    "baddbmm": (lambda a, b: torch.baddbmm(a.new_ones(1), a[None], b[None]), 5 * 4 * 6),
    "einsum": (lambda a, b: torch.einsum("ij,jk->ik", a, b), 5 * 4 * 6),
    "einsum, outer": (lambda a, b: torch.einsum("i,k->ik", a[:, 0], b[0]), 5 * 6),
    "tensordot": (lambda a, b: torch.tensordot(a, b, 1), 5 * 4 * 6),
    "chain": (lambda a, b: torch.chain_matmul(a, b), 5 * 4 * 6),
    "multi_dot": (lambda a, b: torch.linalg.multi_dot([a, b]), 5 * 4 * 6),
    "kron": (lambda a, b: torch.kron(a, b), 5 * 4 * 4 * 6),
    "by hand": (lambda a, b: (a[:, :, None] * b).sum(1), 5 * 4 * 6),
    "cosine": (lambda a, b: F.cosine_similarity(a, a * 2), 5 * 4),
    "linear": (lambda a, b: F.linear(a, b.t()), 5 * 4 * 6),
    "conv1d": (lambda a, b: F.conv1d(a[None], b[:5, :5, None].repeat(2, 1, 1)[:5]), None),
    "conv3d": (lambda a, b: F.conv3d(a.view(1, 1, 1, 5, 4), b.view(1, 1, 1, 4, 6)[..., :2, :2]), 4 * 3 * 4),
    "conv_transpose1d": (lambda a, b: F.conv_transpose1d(a.view(1, 5, 4), b.view(-1)[:10].view(5, 2, 1)), 40),
    "lstm_cell": (lambda a, b: torch.lstm_cell(
        a, (a.new_ones(5, 3), a.new_ones(5, 3)), a.new_ones(12, 4), a.new_ones(12, 3)), 5 * 12 * 7),
    "gru_cell": (lambda a, b: torch.gru_cell(
        a, a.new_ones(5, 3), a.new_ones(9, 4), a.new_ones(9, 3)), 5 * 9 * 7),
    "attention": (lambda a, b: F.scaled_dot_product_attention(a[None, None], a[None, None], a[None, None]),
                  5 * 5 * 8),
    "attention, 3-D": (lambda a, b: F.scaled_dot_product_attention(a[None], a[None], a[None]), 5 * 5 * 8),
}  # fmt: skip
NAMED = {
    "bilinear": lambda a, b: F.bilinear(a, a, b.new_ones(2, 4, 4)),
    "cdist": lambda a, b: torch.cdist(a, a),
    "fft": lambda a, b: torch.fft.rfft(a),
    "stft": lambda a, b: torch.stft(a.flatten(), 8, window=a.new_ones(8), return_complex=True),
    "inverse": lambda a, b: torch.linalg.inv(a[:4]),
    "svd": lambda a, b: torch.linalg.svd(a),
    "solve": lambda a, b: torch.linalg.solve(a[:4], b),
    "sparse": lambda a, b: torch.sparse.mm(a.to_sparse(), b),
    "rows": lambda a, b: a.to_sparse_csr() @ b,
    "embedding_bag": lambda a, b: F.embedding_bag(torch.tensor([[0, 1]]), b),
    "ctc": lambda a, b: F.ctc_loss(
        a[:, None].log_softmax(2), torch.ones(1, 2, dtype=torch.int64), torch.tensor([5]), torch.tensor([2])
    ),
    "interpolate": lambda a, b: F.interpolate(a[None], scale_factor=2, mode="linear"),
    "rms_norm": lambda a, b: F.rms_norm(a, (4,)),
    "conv_tbc": lambda a, b: torch.conv_tbc(a[:, None], b[None], b.new_zeros(6)),
    "lif": lambda a, b: lif(a[:, None], leak=0.9, threshold=1.0),
}
NORMS = {
    "layer_norm": lambda a: F.layer_norm(a, (4,)),
    "group_norm": lambda a: F.group_norm(a, 2),
    "instance_norm": lambda a: F.instance_norm(a[None]),
    "batch_norm": lambda a: F.batch_norm(a, a.new_zeros(4), a.new_ones(4)),
    "normalize": lambda a: F.normalize(a),
    "softmax": lambda a: a.softmax(1),
}


class Between(nn.Module):
    """A function between modules, with a part, so that no leaf is named for it."""

    def __init__(self, function):
        super().__init__()
        self.part, self.function = nn.Identity(), function
        self.weight = nn.Parameter(torch.randn(4, 6))

    def forward(self, x):
        return self.function(self.part(x), self.weight)


A = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_by_functions(name):  # case 1.6
    function, macs = PRODUCTS[name]
    found = measure_energy(Between(function), [(A,)], tokens=1, input_kind="analog")
    if macs is not None:
        assert (found["macs"], found["acs"], found["not_counted"]) == (macs, 0, [])
    else:
        assert found["macs"] > 0 and found["not_counted"] == []


@pytest.mark.parametrize("name", NAMED)
def test_functions_that_nobody_knows_are_named(name):  # case 1.6
    found = measure_energy(Between(NAMED[name]), [(A,)], tokens=1)
    assert any("in model (Between)" in one for one in found["not_counted"]), found["not_counted"]


@pytest.mark.parametrize("name", NORMS)
def test_normalisations_by_functions(name):  # case 1.6
    found = measure_energy(Between(lambda a, b: NORMS[name](a)), [(A,)], tokens=1)
    assert found["operations"]["multiplies"] > 0 and found["not_counted"] == []


def test_what_only_moves_values_is_free():
    class Moves(nn.Module):
        def forward(self, x):
            return (
                torch.cat([x.t().contiguous().flip(0), x.t()], 1).reshape(-1)[x.argsort().flatten()].clone()
            )

    assert (
        measure_energy(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 2))), [(A,)], tokens=1)["not_counted"]
        == []
    )
    found = measure_energy(Moves(), [(A,)], tokens=1)
    assert found["operations"] == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_any_precision(name, dtype):
    model = plain(name).to(dtype)
    x = given(name)
    x = x.to(dtype) if x.is_floating_point() else x
    found = measure_energy(model, [(x,)], tokens=1)
    macs = measured(name, plain(name))[1][0]
    assert found["macs"] == macs and found["not_counted"] == found["guessed"] == []
    spikes = sum(one.get("spike_rate", 0) for one in found["layers"].values())
    assert (spikes > 0) == (found["spike_rate"] is not None)


def test_a_bare_stack_is_the_core():  # cases, section 5
    stack = SpikingStack(4, 4, layers=2)
    bare = measure_energy(stack, [(X,)], tokens=1)
    assert bare["core"]["macs"] > 0 and bare["core"]["acs"] == bare["acs"] > 0
    inside = measure_energy(nn.Sequential(stack), [(X,)], tokens=1)
    assert inside["core"] == bare["core"]


def test_global_hooks():
    model = plain("linear")
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, args, out: with_matrix(module, args, out) if type(module) is nn.Linear else None
    )
    try:
        found, (macs, _) = measured("linear", model)
    finally:
        handle.remove()
    assert macs == 3 * 2 * 4 * 4 * 2 and found["not_counted"] == []
    assert "forward" not in vars(model[0])


def test_what_hooks_do_with_a_counted_layer():
    """It can be copied, and its hooks may fail: nothing of the counting stays in it."""
    model, copies, fails = LAYERS["linear"](), [], []

    def hook(module, args):
        copies.append(copy.deepcopy(module))
        copies[-1]._forward_pre_hooks.clear()
        if fails:
            raise KeyError(fails.pop())

    expected = measure_energy(model, [(X,)], tokens=6)["layers"]["0"]
    model[0].register_forward_pre_hook(hook)
    assert measure_energy(model, [(X,)], tokens=6)["layers"]["0"] == expected
    fails.append("mine")
    with pytest.raises(KeyError, match="mine"):
        measure_energy(model, [(X,)], tokens=6)
    assert "forward" not in vars(model[0])
    for one in copies:
        assert torch.equal(one(X), F.linear(X, model[0].weight, model[0].bias))
