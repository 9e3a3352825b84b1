"""ONNX files, which onnxruntime runs by itself.

The LIF ops become a Scan (`scan.py`), torch's LSTM and GRU those of ONNX (`loops.py`); the rest is torch's.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..exchange.needed import needed
from ..files import check_place, write_whole
from .loops import rnn_to_onnx
from .program import VOCABULARY, Exported, NotExportable, program
from .quiet import quiet
from .scan import OLDEST_OPSET, lif, lif_recurrent

INSTALL = "pip install 'spikeseq[onnx]'"
TRANSLATIONS: dict[str, Any] = {
    "spikeseq::lif": lif,
    "spikeseq::lif_recurrent": lif_recurrent,
    "spikeseq_deploy::rnn": rnn_to_onnx,
}


def to_onnx(
    model: nn.Module | Exported,
    file: str | Path,
    *,
    opset: int | None = None,
    streaming: bool = False,
    shape: tuple[int, ...] | None = None,
) -> Exported:
    """Writes an ONNX file of a model for every length and batch.

    Inputs and outputs are those of `program`, by name; dimensions are called `length` and `batch`. A language
    model takes its state and returns it (`..._after`); before a text, it is zeros.

    Args:
        model: what `program` takes and puts in evaluation mode, or what it returned.
        file: where to.
        streaming, shape: as `program`.
        opset: of the standard operators; default that of torch.
    Returns:
        The program that was written.
    Raises:
        NotExportable: as `program`; an op without translation; an opset before 18, or one that the package
            `onnx` does not have. ValueError: a file that cannot be written. ImportError: onnx or
            onnxscript is not there.
    """
    check_place(Path(file))
    known = needed("onnx", INSTALL).defs.onnx_opset_version()
    needed("onnxscript", INSTALL)
    if opset is not None and not (type(opset) is int and OLDEST_OPSET <= opset <= known):
        raise NotExportable(f"opset must lie between {OLDEST_OPSET} and {known}, got {opset!r}")
    exported = model if isinstance(model, Exported) else program(model, streaming=streaming, shape=shape)
    check_translated(exported)
    with quiet():
        made: Any = torch.onnx.export(
            exported.program,
            input_names=list(exported.inputs.names),
            output_names=list(exported.inputs.outputs),
            opset_version=opset,
            custom_translation_table={op_of(name): written for name, written in TRANSLATIONS.items()},
            dynamo=True,
            verbose=False,
        )
    found = made.model.opset_imports[""]
    if opset is not None and found != opset:
        raise NotExportable(f"torch {torch.__version__} wrote opset {found} instead of {opset}")
    name_dimensions(made.model.graph, exported)
    made.model.metadata_props["spikeseq"] = type(exported.module).__name__
    if exported.inputs.vocabulary is not None:
        made.model.metadata_props[VOCABULARY] = str(exported.inputs.vocabulary)
    write_whole(Path(file), made.model_proto.SerializeToString())
    return exported


def op_of(name: str) -> Any:
    """The op of a name as in `TRANSLATIONS`."""
    room, one = name.split("::")
    return getattr(getattr(torch.ops, room), one).default


def check_translated(exported: Exported) -> None:
    """Refuses ops of ours that have no translation."""
    for node in exported.program.graph.nodes:
        name = getattr(node.target, "name", None)
        name = name() if callable(name) else ""
        base = name.split(".")[0]
        if base.startswith("spikeseq::") and base not in TRANSLATIONS:
            raise NotExportable(f"{base} has no translation to ONNX; known are {', '.join(TRANSLATIONS)}")


def name_dimensions(graph: Any, exported: Exported) -> None:
    """Calls the dimensions of inputs and outputs by their names.

    Raises:
        NotExportable: one that varies has become a number on the way.
    """
    names: dict[str, str] = {}
    for value, dynamic in zip(graph.inputs, exported.inputs.dynamic, strict=True):
        for at, name in dynamic.items():
            found = value.shape[at]
            if isinstance(found, int):
                raise NotExportable(f"{name} of {value.name} became {found} on the way to ONNX")
            names[str(found.value)] = name
    for value in (*graph.inputs, *graph.outputs):
        if value.shape is not None:
            sizes = [
                size if isinstance(size, int) else names.get(str(size.value), size) for size in value.shape
            ]
            value.shape = type(value.shape)(sizes)  # some are frozen
