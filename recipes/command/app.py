"""The console script's application, and the arguments that its commands share."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Sequence learning on spiking layers: train, test and measure.",
)


def told_version(asked: bool) -> None:
    if asked:
        import spikeseq

        print(spikeseq.__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=told_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What all commands share. Its help is the app's."""


def path(text: str) -> Path:
    """A path of the command line; `~` is the home folder, as in `--data`."""
    if not text:  # an unset variable of a shell
        raise typer.BadParameter("expected a path, got nothing")
    return Path(text).expanduser()


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", parser=path, help="A run folder made by `spikeseq train`.")
]
