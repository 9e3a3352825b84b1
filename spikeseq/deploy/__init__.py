"""Trained models where this package is not: programs of `torch.export`, ONNX files, compiled packages.

`program` says which models leave and with which inputs; the others write what it makes of one. ONNX needs
`pip install 'spikeseq[onnx]'`, a compiled package a C++ compiler.
"""

from .agreement import Agreement, agreement, open_onnx, open_pt2
from .compiled import FEEDBACK_SCHEMA, SCHEMA, to_pt2
from .forms import Inputs
from .onnx import to_onnx
from .program import Exported, NotExportable, program

__all__ = [
    "FEEDBACK_SCHEMA",
    "SCHEMA",
    "Agreement",
    "Exported",
    "Inputs",
    "NotExportable",
    "agreement",
    "open_onnx",
    "open_pt2",
    "program",
    "to_onnx",
    "to_pt2",
]
