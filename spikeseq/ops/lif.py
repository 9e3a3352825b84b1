"""The LIF op: one pass of a native kernel, or the loop of `reference` where none can be built.

Both are registered with PyTorch, which takes the kernel once it is loaded.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checks import check_alike, check_values
from ..neuron import Neuron, Run
from . import library
from .build import ensure_native, is_loaded
from .dispatch import Op, dispatch, no_kernel
from .eager import PLAIN, forward_mode, forward_of, no_second_backward, straight, traced, ungraded
from .mapped import backward_over_copies, over_copies
from .reference import Options, lif_adjoint, lif_reference

OPTIONS = (
    "int substeps, int window, str reset, str readout,"
    " str surrogate, float height, float width, bool detach_reset"
)
library.define(
    "lif(Tensor current, Tensor state, Tensor leak, Tensor threshold, Tensor? lengths,"
    f" {OPTIONS}, bool norm_input) -> (Tensor out, Tensor final_state, Tensor checkpoints)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
library.define(
    "lif_backward(Tensor grad_out, Tensor grad_final, Tensor current, Tensor checkpoints, Tensor final_state,"
    f" Tensor leak, Tensor threshold, Tensor? lengths, {OPTIONS}, bool norm_input)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)

INTERVAL = 16  # sub-steps between saved membranes: kInterval of csrc/problem.h


# Registered for every device: a native kernel, once loaded, takes precedence for its own.
def _lif_any_device(
    current: Tensor, state: Tensor, leak: Tensor, threshold: Tensor, lengths: Tensor | None, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    check_alike(current=current, state=state, leak=leak, threshold=threshold, lengths=lengths)
    if ensure_native(current.device.type):
        return torch.ops.spikeseq.lif(current, state, leak, threshold, lengths, *options)  # type: ignore[no-any-return]
    check_values(len(current), leak, threshold, lengths)
    out, final_state = lif_reference(current, state, leak, threshold, lengths, *options)
    checkpoints = state.new_zeros(_checkpoints(current, state, Options(*options)))
    checkpoints[: state.numel()] = state.flatten()
    return out, final_state.clone(), checkpoints


class Given(NamedTuple):
    """The tensors of `lif_backward`, in its schema's order."""

    grad_out: Tensor
    grad_final: Tensor
    current: Tensor
    checkpoints: Tensor
    final_state: Tensor
    leak: Tensor
    threshold: Tensor
    lengths: Tensor | None


def _given(arguments: tuple[Any, ...]) -> tuple[Given, tuple[Any, ...]]:
    """The arguments of `lif_backward`: tensors that go together, and options."""
    count = len(Given._fields)
    given = Given(*arguments[:count])
    check_alike(**{"current": given.current, **given._asdict()})  # the first is what others are held against
    return given, arguments[count:]


def _lif_backward_any_device(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    given, options = _given(arguments)
    if ensure_native(given.current.device.type):
        return torch.ops.spikeseq.lif_backward(*arguments)  # type: ignore[no-any-return]
    state = given.checkpoints[: given.final_state.numel()].view_as(given.final_state)
    return lif_adjoint(
        given.grad_out, given.grad_final, given.current, state,
        given.leak, given.threshold, given.lengths, *options,
    )  # fmt: skip


library.impl("lif", _lif_any_device, "CompositeExplicitAutograd")
library.impl("lif_backward", _lif_backward_any_device, "CompositeExplicitAutograd")


def _checkpoints(current: Tensor, state: Tensor, o: Options) -> Any:
    """How many values are saved, in one row: a trace must not hang on how many states they are."""
    return (current.shape[0] * o.substeps + INTERVAL - 1) // INTERVAL * state.numel()


@torch.library.register_fake("spikeseq::lif", lib=library)
def _lif_fake(
    current: Tensor, state: Tensor, leak: Tensor, threshold: Tensor, lengths: Tensor | None, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    check_alike(current=current, state=state, leak=leak, threshold=threshold, lengths=lengths)
    o = Options(*options)
    out = current.new_empty((current.shape[0] * o.substeps // o.window, *current.shape[1:]))
    return out, state.new_empty(state.shape), state.new_empty(_checkpoints(current, state, o))


@torch.library.register_fake("spikeseq::lif_backward", lib=library)
def _lif_backward_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    given, _ = _given(arguments)
    likes = given.current, given.final_state, given.leak, given.threshold
    current, state, leak, threshold = (like.new_empty(like.shape) for like in likes)
    return current, state, leak, threshold


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    current, _state, leak, threshold, lengths, *options = inputs
    out, final_state, checkpoints = output
    ctx.save_for_backward(current, checkpoints, final_state, leak, threshold, lengths)
    ctx.set_materialize_grads(False)
    ctx.out_shape, ctx.options = out.shape, options


def _backward(ctx: Any, grad_out: Any, grad_final: Any, _grad_checkpoints: Any) -> tuple[Any, ...]:
    saved = ctx.saved_tensors  # read once: torch.utils.checkpoint allows no second time
    current, _checkpoints, final_state = saved[:3]
    if grad_out is None:
        grad_out = current.new_zeros(()).expand(ctx.out_shape)
    if grad_final is None:
        grad_final = torch.zeros_like(final_state)
    op = torch.ops.spikeseq.lif_backward if torch.compiler.is_compiling() else _LifBackward.apply
    grads = op(grad_out, grad_final, *saved, *ctx.options)
    return (*grads, None, *[None] * len(ctx.options))


torch.library.register_autograd("spikeseq::lif", _backward, setup_context=_setup_context, lib=library)
torch.library.register_autograd("spikeseq::lif_backward", no_second_backward, lib=library)


torch.library.register_vmap("spikeseq::lif", over_copies(torch.ops.spikeseq.lif), lib=library)
torch.library.register_vmap(
    "spikeseq::lif_backward", backward_over_copies(torch.ops.spikeseq.lif_backward), lib=library
)


# The same once more, for eager code: what `register_autograd` makes cannot be called inside torch.func.grad.
class _Lif(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.lif.default)

    setup_context = staticmethod(_setup_context)
    backward = staticmethod(_backward)

    @staticmethod
    def vmap(*arguments: Any) -> Any:
        return over_copies(_Lif.apply)(*arguments)  # type: ignore[arg-type]


class _LifBackward(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.lif_backward.default)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        pass

    backward = staticmethod(no_second_backward)
    jvp = staticmethod(no_second_backward)

    @staticmethod
    def vmap(*arguments: Any) -> Any:
        return backward_over_copies(_LifBackward.apply)(*arguments)  # type: ignore[arg-type]


def fits(current: Tensor, *_arguments: Any) -> str | None:
    """Every device and type has its kernel; of tensors without data the registration knows the shapes."""
    device = current.device.type
    if reason := forward_mode():
        return reason
    if is_loaded(device) or type(current) not in PLAIN or current.is_meta or traced():
        return None
    return no_kernel(device)


def _run(*arguments: Any) -> Any:
    if ungraded():
        return straight(torch.ops.spikeseq.lif.default, *arguments)
    return _Lif.apply(*arguments)  # type: ignore[no-untyped-call]


def _plain(*arguments: Any) -> Any:
    """The op without a kernel, or the oracle itself, whose operations have a derivative in forward mode."""
    if forward_mode() is None:
        return _run(*arguments)
    current, _state, leak, threshold, lengths, *_options = arguments
    check_values(len(current), leak, threshold, lengths)
    out, final_state = lif_reference(*arguments)
    return out, final_state, final_state.new_empty(0)


LIF = Op("lif", fits, _run, _plain, slow="python loop", traced=True)


def lif(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Output, final state and checkpoints of the op, differentiable in every way: torch.compile traces its
    registration, all else runs `_Lif`. Args: currents, and what `Neuron.arguments` makes of the rest."""
    if torch.compiler.is_compiling():
        return torch.ops.spikeseq.lif(*arguments)  # type: ignore[no-any-return]
    return dispatch(LIF, *arguments)  # type: ignore[no-any-return]


def fire(current: Tensor, state: Tensor | None, neuron: Neuron, run: Run) -> tuple[Tensor, Tensor]:
    """`functional.lif` of neurons and a call that are described already."""
    out, final, _ = lif(current, *neuron.arguments(current, state, run))
    return out, final if neuron.planes else final[0]
