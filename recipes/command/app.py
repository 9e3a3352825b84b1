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


def path(text: str) -> Path:
    """A path of the command line; `~` is the home folder, as in `--data`."""
    if not text:  # an unset variable of a shell
        raise typer.BadParameter("expected a path, got nothing")
    return Path(text).expanduser()


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", parser=path, help="A run folder made by `spikeseq train`.")
]
