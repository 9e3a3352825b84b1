"""Compiled packages (`.pt2`) of AOTInductor, which torch loads without the model's Python code.

The LIF op stays an op of ours, because its loop over time is native already: who loads the package declares
the op and loads its library first, which is written beside it.
"""

import json
import tempfile
from pathlib import Path

import torch
from torch import nn

from ..files import check_place, write_whole
from ..ops import lif as _lif  # noqa: F401  defines the op
from ..ops import recurrent as _recurrent  # noqa: F401
from ..ops.build import backend_info, ensure_native
from .forms import Recalls
from .program import EXAMPLE, VOCABULARY, Exported, NotExportable, program
from .quiet import quiet

SCHEMA = str(torch.ops.spikeseq.lif.default._schema).removeprefix("spikeseq::")
"""What a process without this package declares the op with."""

FEEDBACK_SCHEMA = str(torch.ops.spikeseq.lif_recurrent.default._schema).removeprefix("spikeseq::")
"""The same of the op of layers with feedback (`recurrent=True`)."""


def to_pt2(
    model: nn.Module | Exported,
    file: str | Path,
    *,
    streaming: bool = False,
    shape: tuple[int, ...] | None = None,
) -> Exported:
    """Compiles a model for this kind of processor, for every length and batch, into one file.

    Beside it, with the ending ".so", goes the library of the op, which needs torch and nothing of ours.
    A process without this package calls `torch.library.Library("spikeseq", "DEF").define(...)`, with the text
    of SCHEMA, and `torch.ops.load_library` before `torch._inductor.aoti_load_package`.

    Args:
        model: what `program` takes and puts in evaluation mode, or what it returned.
        streaming, shape: as `program`.
        file: where to; it must end in ".pt2".
    Returns:
        The program that was compiled.
    Raises:
        NotExportable: as `program`; an nn.LSTM or nn.GRU. ValueError: the file's name or place.
            RuntimeError: no kernel, or no C++ compiler.
    """
    path = Path(file)
    if path.suffix != ".pt2":
        raise ValueError(f"a compiled package must end in .pt2, got {path.name}")
    for written in (path, path.with_suffix(".so")):
        check_place(written)
    exported = model if isinstance(model, Exported) else program(model, streaming=streaming, shape=shape)
    if isinstance(exported.module, Recalls):
        kind = type(exported.module.model.rnn).__name__
        raise NotExportable(f"torch compiles an {kind} for one length only; write it with --to onnx")
    if not ensure_native("cpu"):
        raise RuntimeError("a compiled package calls the native kernel, which cannot be built here")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        made = str(Path(folder) / path.name)
        takes = [
            (name, str(one.dtype).removeprefix("torch."), one.dim())
            for name, one in zip(exported.inputs.names, exported.module.example(*EXAMPLE), strict=True)
        ]
        about = {"spikeseq_inputs": json.dumps(takes)}
        if exported.inputs.vocabulary is not None:
            about[VOCABULARY] = str(exported.inputs.vocabulary)
        told = {"aot_inductor.metadata": about}
        with quiet():
            compile_into = torch._inductor.aoti_compile_and_package
            compile_into(exported.program, package_path=made, inductor_configs=told)
        write_whole(path, Path(made).read_bytes())
    write_whole(path.with_suffix(".so"), Path(backend_info()["native"]["cpu"]).read_bytes())
    return exported
