"""Timings of exported files beside the models themselves: one thread, one text."""

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq import compile_events
from spikeseq.deploy import Exported, open_onnx, open_pt2, program, to_onnx, to_pt2
from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step, inference
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.models.sentiment import SpikingClassifier

PEERS = ("onnxruntime", "aotinductor")
Sizes = tuple[int, int, int]
"""Tokens of the text; rows of the vocabulary; neurons of a layer."""


def missing() -> str | None:
    """Why there is nothing to time here."""
    lacking = [name for name in ("onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]
    return f"export is timed with {' and '.join(lacking)}: pip install 'spikeseq[onnx]'" if lacking else None


def deployed_benchmarks(sizes: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """The sentiment model over a text, and a language model for one token more."""
    tokens, vocabulary, hidden = sizes
    torch.manual_seed(0)
    model = SpikingClassifier(vocabulary, hidden_size=hidden)
    nn.init.normal_(model.readout.weight)  # which starts from zero, so that everything would agree
    exported = program(model)
    given = exported.module.example(tokens, 1)
    own = own_step(exported.module, given), "the model, no graph"
    yield from compared(
        f"export {tokens}x1", f"sentiment model, {tokens} tokens", exported, given, peers, own
    )

    language = SpikingLanguageModel(
        257, embedding_size=hidden // 2, neurons=5 * hidden, layers=1, kernel_size=4, ngrams=(2, 3, 4, 5),
        leaks=(0.0, 0.9),
    )  # fmt: skip
    exported = program(language)
    given = exported.module.example(1, 1)
    stream = compile_events(language)
    with torch.no_grad():
        _, state = stream(given[0])
    own = own_step(stream, (given[0], state)), "as `spikeseq generate` runs it"
    yield from compared("export token", "language model, one token", exported, given, peers, own)


def compared(
    name: str, title: str, exported: Exported, given: tuple[Tensor, ...], peers: Sequence[str],
    own: tuple[Step, str],
) -> Iterator[Benchmark]:  # fmt: skip
    """A model as it is, and from each kind of file."""
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, tuple[Path, Any]] = {}
        for peer, suffix, write, opening in (
            ("onnxruntime", ".onnx", to_onnx, open_onnx),
            ("aotinductor", ".pt2", to_pt2, open_pt2),
        ):
            if peer in peers:
                file = Path(folder) / f"model{suffix}"
                write(exported, file)
                runs[peer] = file, opening(file)
        others = [
            Contender(
                peer, f"a file of {file.stat().st_size:,} bytes", partial(file_step, run, given),
                {"bytes": float(file.stat().st_size)},
            )
            for peer, (file, run) in runs.items()
        ]  # fmt: skip
        yield Benchmark(
            name,
            f"{title}, batch 1, no graph",
            (Contender("spikeseq", own[1], lambda: own[0]), *others),
            partial(check, exported, given, {peer: run for peer, (_, run) in runs.items()}),
            device="busy",
            work=(len(given[0]), "tokens"),
        )


def own_step(module: Any, given: tuple[Any, ...]) -> Step:
    return inference(partial(module, *given))


def file_step(run: Any, given: tuple[Tensor, ...]) -> Step:
    return inference(partial(run, *given))


def check(exported: Exported, given: tuple[Tensor, ...], runs: dict[str, Any]) -> None:
    """Every file says what the model says."""
    with torch.no_grad():
        found = exported.module(*given)
    wanted = found if isinstance(found, Tensor) else found[0]
    for name, run in runs.items():
        most = float((run(*given)[0] - wanted).abs().max())
        if not most <= 1e-3:
            refuse(f"the file for {name}", f"a logit differs by {most:.2e}")
