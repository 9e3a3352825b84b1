"""The console script's application, and the arguments that its commands share."""

import os
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


def path(text: str | Path) -> Path:
    """A path of the command line; `~` is the home folder, as in `--data`, and `~NAME` that of a user."""
    text = str(text)  # a default is a path already
    if not text:  # an unset variable of a shell
        raise typer.BadParameter("expected a path, got nothing")
    whole = Path(os.path.expanduser(text))
    if text.startswith("~") and whole == Path(text) and not os.path.lexists(text):
        raise typer.BadParameter(
            f"there is no user {whole.parts[0][1:]!r} for {text}; ./{text} is a path here"
        )
    return whole


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", parser=path, help="A run folder made by `spikeseq train`.")
]
