"""A model as a program of `torch.export`, of any length and batch: inputs, names, what is refused."""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

from ..models.language import RecurrentLanguageModel, SpikingLanguageModel
from ..models.sentiment import SpikingClassifier
from ..nn import SpikingNetwork
from ..nn.layer import SpikingLayer
from ..nn.lif import LIF
from ..ops.recurrent import as_one_op
from .forms import Classifies, Inputs, Recalls, Sees, Streams, Writes

EXAMPLE = (5, 3)
"""Length and batch of the example of a trace: different, and not 0 or 1, which traces hold for special."""

VOCABULARY = "spikeseq_vocabulary"
"""Under this key a file has the number below which its ids lie: runtimes do not look."""


class NotExportable(ValueError):
    """A model or a run that the format cannot hold."""


class Exported(NamedTuple):
    """program: as `torch.export` makes it. module: what was traced, whose eager calls are the truth.
    inputs: what both take and give."""

    program: ExportedProgram
    module: Classifies | Sees | Streams | Writes
    inputs: Inputs


KNOWN: dict[type[nn.Module], Any] = {
    SpikingClassifier: Classifies,
    SpikingLanguageModel: Writes,
    RecurrentLanguageModel: Recalls,
    SpikingNetwork: Sees,
}


def program(model: nn.Module, *, streaming: bool = False, shape: tuple[int, ...] | None = None) -> Exported:
    """A model traced for every length and batch. Puts it in evaluation mode.

    Args:
        model: a `SpikingClassifier`, a `SpikingLanguageModel`, a `RecurrentLanguageModel`, or a
            `SpikingNetwork` with direct coding, on a CPU.
        streaming: of a classifier, one that reads a text in pieces: a state comes in and out. Default False,
            whole texts. A language model always has its state.
        shape: of one input of a `SpikingNetwork`, such as (3, 32, 32).
    Raises:
        NotExportable: another model; a layer with feedback whose map has a bias; a surrogate that remembers;
            weights that are not finite, or on another device.
    """
    wrap = KNOWN.get(type(model))
    if wrap is None:
        known = ", ".join(kind.__name__ for kind in KNOWN)
        raise NotExportable(f"a {type(model).__name__} has no exported form; known are {known}")
    if streaming and wrap is not Classifies:
        raise NotExportable("streaming is for text classifiers; a language model has its state in any case")
    if (shape is not None) != (wrap is Sees):
        raise NotExportable(f"shape goes with a SpikingNetwork, and with it always; got {shape!r}")
    check(model)
    form: Any = Streams if streaming else wrap
    module = form(model, *(() if shape is None else (shape,))).eval()
    inputs = module.inputs()
    dims: dict[str, Any] = {name: Dim(name) for name in ("length", "batch")}
    shapes = tuple({at: dims[name] for at, name in one.items()} for one in inputs.dynamic)
    alone = 2 if isinstance(module, Classifies | Streams) else 1  # the rest is one argument, *state
    given: Any = shapes if isinstance(module, Classifies | Sees) else (*shapes[:alone], shapes[alone:])
    with torch.no_grad(), as_one_op():
        traced = export(module, module.example(*EXAMPLE), dynamic_shapes=given)
    return Exported(traced, module, inputs)


def check(model: nn.Module) -> None:
    """Refuses parts that no file can hold."""
    if isinstance(model, SpikingNetwork) and model.encoding != "direct":
        raise NotExportable(f"encoding {model.encoding!r} draws numbers; networks with 'direct' are exported")
    for name, part in model.named_modules():
        feedback: Any = part.feedback if isinstance(part, SpikingLayer) else None
        if feedback is not None and getattr(feedback, "bias", None) is not None:
            raise NotExportable(f"the feedback of {name} has a bias, which the op of such layers has not")
        if isinstance(part, LIF) and part.planes:
            raise NotExportable(f"surrogate {part.surrogate.name!r} of {name} remembers, and leaves nowhere")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_cpu:
            raise NotExportable(f"{name} is on {tensor.device}; export the model from a CPU: model.cpu()")
        if not bool(tensor.isfinite().all()):
            raise NotExportable(f"{name} is not finite")
