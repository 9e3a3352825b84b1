"""Trained models where this package is not: programs of `torch.export`, ONNX files, compiled packages.

`program` says which models leave and with which inputs; the others write what it makes of one. ONNX needs
`pip install 'spikeseq[onnx]'`, a compiled package a C++ compiler.
"""

from .agreement import Agreement, agreement, open_onnx, open_pt2
from .compiled import SCHEMA, to_pt2
from .onnx import to_onnx
from .program import Exported, Inputs, NotExportable, program

__all__ = [
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
