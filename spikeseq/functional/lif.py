"""The leaky integrate-and-fire neuron as a pure function: state in, state out."""

from torch import Tensor

from ..neuron import Neuron, Run
from ..ops.lif import fire
from ..surrogates import PiecewiseLinear, Surrogate


def lif(
    current: Tensor,
    state: Tensor | None = None,
    *,
    leak: Tensor | float,
    threshold: Tensor | float,
    substeps: int = 1,
    reset: str = "soft",
    surrogate: Surrogate = PiecewiseLinear(),  # noqa: B008  a frozen value
    lengths: Tensor | None = None,
    detach_reset: bool = False,
    readout: str = "spikes",
    window: int | None = None,
    norm_input: bool = False,
) -> tuple[Tensor, Tensor]:
    """Leaky integrate-and-fire over a sequence (thesis eq. 6.1-6.2).

    With the default soft reset, at every sub-step ``u[t] = leak * u[t-1] + I[t] - threshold * o[t-1]`` and
    ``o[t] = 1 if u[t] > threshold else 0``. `soft_immediate` resets before the leak,
    ``u[t] = leak * (u[t-1] - threshold * o[t-1]) + I[t]``, and `hard` resets to zero,
    ``u[t] = leak * u[t-1] * (1 - o[t-1]) + I[t]``. Leak 1 is an integrate-and-fire neuron.

    Args:
        current: (L, B, *), input current; float32, float64, bfloat16 or float16.
        state: (B, *), the membrane before its reset, as a former call returned it; float64 for float64
            currents, else float32. A supplied membrane above the threshold is reset at the first sub-step
            without emitting a spike. Default: zeros. With a surrogate that remembers, (1 + planes, B, *), and
            by default its `memory_start` beside the zeros.
        leak: in [0, 1]; a number, or a tensor (), (1,) or (C,) with C the size of dimension 2 of current. Or
            (L, B, *), a leak for every token and neuron, made from what comes in (input-dependent decay, as
            in DSN, arXiv 2602.01133): it holds for all sub-steps of its token, its gradient has its shape,
            and it is not read past `lengths`.
        threshold: positive; a number, or a tensor (), (1,) or (C,).
        substeps: sub-steps that every row of current lasts (direct coding), without copying the row.
        reset: "soft", "soft_immediate" or "hard".
        surrogate: derivative that stands in for that of the spike in the backward pass.
        lengths: (B,) int64, rows of current that count for each sequence; 0 is allowed. Past its end a
            sequence emits zeros and its state stays.
        detach_reset: let no gradient through the o[t-1] of the reset.
        readout: what comes out: "spikes", every sub-step; "rate", the share of sub-steps with a spike in
            each window; "membrane", the membrane at the last sub-step of each window. The latter two never
            make the spikes in memory.
        window: sub-steps that each row of "rate" or "membrane" covers; default `substeps` (one per token).
        norm_input: weight the current by (1 - leak), so that the gain does not depend on the leak: without
            spikes, a lasting current of 1 charges every membrane to 1. Default False, the thesis's equation.
    Returns:
        (L * substeps, B, *) spikes, row l * substeps + t, in current's dtype; or
        (L * substeps / window, B, *) for the other read-outs; and the final state, shaped as `state`.
        All carry gradients, to current, state, leak and threshold. There is no second derivative.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted. The values of CUDA
            tensors are only checked under `spikeseq.debug()`, because reading them waits for the device.
    """
    neuron = Neuron(leak, threshold, reset, surrogate, detach_reset, norm_input)
    return fire(current, state, neuron, Run(substeps, window, readout, lengths))
