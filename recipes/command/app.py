"""The console script's application, and the arguments that its commands share."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Sequence learning on spiking layers: train, test and measure.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `spikeseq train`.")]
