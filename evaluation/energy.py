"""A first account of compute energy, by the thesis's equations 6.3-6.8 and table 6.7.

The model runs on real inputs and the operations that happen are counted, layer by layer. A multiply-
accumulate (MAC) is an analog input value times a weight; an accumulate (AC) is one spike into one weight.
Whether an input was spikes is seen from its values. What is counted: linear maps, convolutions over tokens,
attention, embedding bags with weights, LSTM, GRU and RNN layers. What is not: biases, membrane updates,
normalisation, memory traffic; layers with arithmetic that is left out are named in `not_counted`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from spikeseq.functional.taps import ranges
from spikeseq.models.seq2seq.stacks import SpikingStack
from spikeseq.nn import LIF, AdditiveAttention, DotAttention, Integrator, LIFCell, NormalisedLIF, TokenConv1d
from spikeseq.nn.layer import SpikingLayer

PICOJOULE_MAC = 4.6  # 32-bit float multiply-accumulate, 45 nm CMOS, thesis table 6.7
PICOJOULE_AC = 0.9  # 32-bit float addition
FREE = (nn.Embedding, nn.Dropout, nn.Identity, LIF, Integrator)  # look-ups and neuron updates


@torch.no_grad()
def measure_energy(
    model: nn.Module,
    inputs: Iterable[tuple[Any, ...]],
    *,
    tokens: int,
    rate_tokens: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Counts operations while `model(*args)` runs for every args in `inputs`.

    Args:
        model: any module; it is run in evaluation mode.
        inputs: arguments of one text each, without padding, because padding would be counted.
        tokens: tokens in all inputs, at least 1; results are per token.
        rate_tokens: tokens that pass the layers whose names begin so, where they are others: an encoder's.
            Their spike rates are per token of their own; all else stays per one of `tokens`.
    Returns:
        "macs", "acs" and "picojoules" per token, "spike_rate" (eq. 6.6, mean over spiking layers) and
        "layers" with the same by layer, "core": what convolutions, recurrent and spiking layers have of them
        (the scope of thesis table 6.9: no attention, no map to a vocabulary), "not_counted", and a
        "signature" that says what the figure counts.
    Raises:
        ValueError: there are no tokens.
    """
    if tokens < 1:
        raise ValueError(f"tokens must be at least 1, got {tokens}")
    counts: dict[str, dict[str, float]] = {}
    unknown: list[str] = []
    hooks = []
    training = model.training
    for name, module in model.named_modules():
        counter = _counter(module)
        if counter is not None:
            counts[name] = {}
            hooks.append(module.register_forward_hook(_hook(counter, counts[name]), with_kwargs=True))
        elif _has_weights(module):
            unknown.append(f"{name} ({type(module).__name__})")
    try:
        model.eval()
        for args in inputs:
            model(*args)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    layers = {
        name: {key: value / _divisor(name, key, tokens, rate_tokens) for key, value in count.items()}
        for name, count in counts.items()
        if count
    }
    core = _core(model)
    rates = [layer["spike_rate"] for layer in layers.values() if "spike_rate" in layer]
    return {
        **_total(layers.values()),
        "core": _total(layer for name, layer in layers.items() if name in core),
        "spike_rate": sum(rates) / len(rates) if rates else None,
        "layers": layers,
        "not_counted": unknown,
        "signature": f"per token, eq. 6.3-6.8, MAC {PICOJOULE_MAC} pJ, AC {PICOJOULE_AC} pJ, measured;"
        " without biases, membrane updates and memory",
    }


def _total(layers: Iterable[dict[str, float]]) -> dict[str, float]:
    layers = list(layers)
    macs, acs = (sum(layer.get(kind, 0.0) for layer in layers) for kind in ("macs", "acs"))
    return {"macs": macs, "acs": acs, "picojoules": PICOJOULE_MAC * macs + PICOJOULE_AC * acs}


def _divisor(name: str, key: str, tokens: int, rate_tokens: Mapping[str, int] | None) -> int:
    if key == "spike_rate":
        for prefix, own in (rate_tokens or {}).items():
            if name.startswith(prefix):
                return own
    return tokens


def _core(model: nn.Module) -> set[str]:
    """The names of convolutions, recurrent layers, and the maps of spiking ones."""
    names = {name for name, m in model.named_modules() if isinstance(m, TokenConv1d | nn.RNNBase)}
    for name, module in model.named_modules():
        if isinstance(module, SpikingLayer):
            prefix = f"{name}." if name else ""
            names |= {f"{prefix}input_map", f"{prefix}feedback"}
        if isinstance(module, SpikingStack):
            names |= {f"{name}.maps.{i}" for i in range(len(module.maps))}
    return names


Counter = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], dict[str, float]]


def _hook(counter: Counter, into: dict[str, float]) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        for key, value in counter(module, args, kwargs, output).items():
            into[key] = into.get(key, 0.0) + value

    return hook


def _has_weights(module: nn.Module) -> bool:
    """Whether a module that is not counted has arithmetic of its own: a leaf with parameters, or a matrix."""
    own = list(module.parameters(recurse=False))
    leaf = not any(True for _ in module.children())
    return not isinstance(module, FREE) and any(leaf or p.dim() > 1 for p in own)


def _counter(module: nn.Module) -> Counter | None:
    if isinstance(module, nn.Linear):
        return _linear
    if isinstance(module, TokenConv1d):
        return _convolution
    if isinstance(module, DotAttention | AdditiveAttention):
        return _attention
    if isinstance(module, nn.EmbeddingBag):
        return _bag
    if isinstance(module, nn.RNNBase):
        return _recurrent
    if isinstance(module, LIF):
        return _spikes
    return None


def spikes_in(x: Tensor) -> float | None:
    """The number of spikes if `x` holds spikes or sums of spikes (small whole numbers), else None."""
    whole = x.round()
    if (x.numel() and (x < 0).any()) or not torch.allclose(x, whole, rtol=0, atol=1e-5):
        return None
    return float(whole.double().sum())


def _linear(module: Any, args: Any, kwargs: Any, output: Any) -> dict[str, float]:
    spikes = spikes_in(args[0])
    if spikes is None:
        return {"macs": float(args[0].numel() * module.out_features)}
    return {"acs": spikes * module.out_features}


def _convolution(module: Any, args: Any, kwargs: Any, output: Any) -> dict[str, float]:
    """Each input once for every tap whose output token exists."""
    x, state = args[0], args[1] if len(args) > 1 else kwargs.get("state")
    given = x if state is None else torch.cat((state, x))
    before = 0 if state is not None else module.kernel_size - 1 if module.causal else module.kernel_size // 2
    parts = [given[rows] for rows, _ in ranges(len(given), len(x), module.kernel_size, before)]
    if spikes_in(given) is None:
        return {"macs": float(sum(part.numel() for part in parts) * module.out_channels)}
    return {"acs": float(sum(part.double().sum() for part in parts) * module.out_channels)}


def _attention(module: Any, args: Any, kwargs: Any, output: Any) -> dict[str, float]:
    """The weighted sum of values and, for dot products, the scores; projections are maps of their own."""
    weights = output[1]  # (L, B, S)
    products = float(weights.numel() * args[1].values.shape[2])
    return {"macs": 2 * products if isinstance(module, DotAttention) else products}


def _bag(module: Any, args: Any, kwargs: Any, output: Any) -> dict[str, float]:
    weights = kwargs.get("per_sample_weights")
    if weights is None:
        return {"acs": float(args[0].numel() * module.embedding_dim)}
    return {"macs": float((weights != 0).sum() * module.embedding_dim)}


def _recurrent(module: Any, args: Any, kwargs: Any, output: Any) -> dict[str, float]:
    """Every weight once a token: 4 (LSTM), 3 (GRU), 1 (RNN) times f_in f_out + f_out f_out, eq. 6.3, 6.4."""
    x = args[0].data if isinstance(args[0], PackedSequence) else args[0]
    weights = sum(p.numel() for name, p in module.named_parameters() if name.startswith("weight"))
    return {"macs": x.numel() / x.shape[-1] * weights}


def _spikes(module: Any, args: Any, kwargs: Any, output: Any) -> dict[str, float]:
    """Spikes per neuron: divided by the tokens in the end, that is eq. 6.6."""
    out = output[0]
    if isinstance(module, NormalisedLIF):
        return {"spike_rate": float(out.double().sum()) / out.shape[3]}
    readout = kwargs.get("readout", "spikes")
    if readout == "membrane":
        again = {**kwargs, "readout": "rate"}
        out, _ = module.forward(*args, **again)
    steps = 1.0
    if readout != "spikes":  # a rate is a share of the sub-steps of its window
        steps = kwargs.get("window") or kwargs.get("substeps") or module.substeps
    row = out if isinstance(module, LIFCell) and readout != "spikes" else out[0]  # (B, *)
    return {"spike_rate": float(out.double().sum()) * steps / row[0].numel()}
