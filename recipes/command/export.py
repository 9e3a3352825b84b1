"""`spikeseq export`: a trained network in the format of others, a row of `TARGETS` for each."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from spikeseq.recipes.command.app import Json, Run, app, path
from spikeseq.recipes.command.console import emit, say
from spikeseq.recipes.outputs import check_apart, check_output

Write = Callable[[Path, Path, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Target:
    """A format.

    Args:
        write: (the run, the file, the options that were given) to what is said of it. It
            raises ValueError or TypeError, naming what the format cannot say, before anything is written.
        options: of the command line that go with this format; others are refused.
    """

    write: Write
    options: tuple[str, ...] = ()


def to_nir(run: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The layers of neurons and the maps between them, for `reader`."""
    check_output(out, [run])
    opened = load(run)
    from spikeseq.exchange import LossyExchange, write_nir
    from spikeseq.exchange import to_nir as graph_of

    model, shape = opened.graph()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", LossyExchange)
        try:
            graph = graph_of(model, shape, **options)
        except ValueError as error:
            raise ValueError(str(error).replace("lossy=True", "--lossy")) from None
    write_nir(graph, out)
    for warning in told:
        if issubclass(warning.category, LossyExchange):
            say(str(warning.message))
    return {**graph.metadata, "nodes": len(graph.nodes)}


def to_onnx(run: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Standard operators, which onnxruntime runs."""
    check_output(out, [run])
    opened = load(run)
    from spikeseq.deploy import open_onnx
    from spikeseq.deploy import to_onnx as write

    check_suffix(out, ".onnx")
    return compared(write(opened.model, out, **options, shape=image(opened)), out, open_onnx, "onnxruntime")


def to_pt2(run: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Compiled by AOTInductor, for torch."""
    check_output(out, [run])
    check_apart(out.with_suffix(".so"), [run])
    opened = load(run)
    from spikeseq.deploy import open_pt2
    from spikeseq.deploy import to_pt2 as write

    check_suffix(out, ".pt2")
    said = compared(write(opened.model, out, **options, shape=image(opened)), out, open_pt2, "torch")
    return {**said, "library": str(out.with_suffix(".so"))}  # which goes with the file


def to_hub(run: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """A folder for the Hugging Face hub: what `spikeseq.load` needs, and a card."""
    from spikeseq.recipes.shipped.hub import publish

    return publish(run, out)


def to_int8(run: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """A run folder with weights in 8 bits, tested again."""
    from spikeseq.recipes.shipped.small import shrink

    return shrink(run, out, say)


def load(run: Path) -> Any:
    """`spikeseq.load`, imported when a run is opened."""
    from spikeseq.recipes.runs import load

    return load(run)


def image(opened: Any) -> tuple[int, ...] | None:
    """The shape of an image, of a network that sees images."""
    from spikeseq.nn import SpikingNetwork

    return opened.graph()[1] if type(opened.model) is SpikingNetwork else None


def check_suffix(out: Path, suffix: str) -> None:
    """Refuses a file that a reader of the format would not take for one."""
    if out.suffix != suffix:
        raise ValueError(f"--out must end in {suffix}, got {out.name}")


def compared(exported: Any, out: Path, opening: Callable[[Path], Any], runtime: str) -> dict[str, Any]:
    """What a written file takes and gives, and how far it is from the model at other lengths and batches."""
    from importlib.util import find_spec

    from spikeseq.deploy import agreement

    said = {
        "takes": ", ".join(exported.inputs.names),
        "gives": ", ".join(exported.inputs.outputs),
        "bytes": out.stat().st_size,
    }
    if find_spec(runtime) is None:
        say(f"not checked, because {runtime} is not installed")
        return said
    found = agreement(exported, opening(out))
    return {**said, "largest_difference": found.largest, "share_differing": found.differing}


TARGETS = {
    "nir": Target(to_nir, ("reader", "lossy")),
    "onnx": Target(to_onnx, ("opset", "streaming")),
    "pt2": Target(to_pt2, ("streaming",)),
    "hub": Target(to_hub),
    "int8": Target(to_int8),
}


@app.command()
def export(
    run: Run,
    to: Annotated[str, typer.Option(help=f"The format: {', '.join(TARGETS)}.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", parser=path, help="The file to write; hub, int8: the folder.")
    ],
    reader: Annotated[
        str | None,
        typer.Option(help="nir: the library that is to read it. A wrong one lists them."),
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="nir: write what it cannot say as the nearest, and measure.")
    ] = False,
    opset: Annotated[int | None, typer.Option(help="onnx: version of the operators.")] = None,
    streaming: Annotated[
        bool,
        typer.Option("--streaming", help="onnx, pt2: a text classifier that reads in pieces, with a state."),
    ] = False,
    json_: Json = False,
) -> None:
    """Write a trained network in a format that other libraries read."""
    if to not in TARGETS:
        raise ValueError(f"--to must be one of {', '.join(TARGETS)}, got {to!r}")
    target = TARGETS[to]
    options = {"reader": reader, "lossy": lossy or None, "opset": opset, "streaming": streaming or None}
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in target.options:
            raise ValueError(f"--{name} does not go with --to {to}; leave it out")
    said = target.write(run, out, given)
    say(f"wrote {out}")
    if json_:
        emit({"file": str(out), "to": to, **said})
    else:
        for key, value in said.items():
            print(f"{key}: {value}")
