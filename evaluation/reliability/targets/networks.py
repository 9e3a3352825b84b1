"""Networks in files: those of NIR, and those that we exported to ONNX."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikeseq.evaluation.reliability.cases import Target
from spikeseq.exchange import from_nir, to_nir, write_nir
from spikeseq.nn import LIF, SpikingRNN


def of_networks(folder: Path) -> Iterator[Target]:
    """Compiled packages are not among them: they are code, and nobody opens a stranger's."""
    from spikeseq.deploy import to_onnx
    from spikeseq.models import SpikingClassifier

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    maps = nn.Sequential(nn.Linear(4, 3), LIF(3, reset="hard"), nn.Linear(3, 2))
    write_nir(to_nir(maps, (4,)), folder / "maps.nir")
    rnn = SpikingRNN(4, 3, recurrent=True, reset="hard", substeps=1, readout="spikes")
    write_nir(to_nir(rnn, (4,)), folder / "feedback.nir")
    model = SpikingClassifier(12, 2, embedding_size=4, hidden_size=4).eval()
    to_onnx(model, folder / "classifier.onnx")
    for name in ("maps.nir", "feedback.nir"):
        yield Target(f"NIR: {name}", folder, (name,), partial(read_nir, name))
    yield Target("ONNX", folder, ("classifier.onnx",), lambda f: run_onnx(f / "classifier.onnx"))


@torch.no_grad()
def read_nir(name: str, folder: Path) -> Any:
    """What a network answers."""
    out, _ = from_nir(folder / name)(torch.linspace(-1, 3, 40).view(5, 2, 4))
    return out.double().flatten().tolist()


def run_onnx(path: Path) -> Any:
    """What its runtime answers."""
    from spikeseq.deploy.agreement import open_onnx

    tokens, lengths = torch.arange(10).view(5, 2), torch.tensor([5, 3])
    return [one.tolist() for one in open_onnx(path)(tokens, lengths)]
