"""The command that writes and checks the page of results."""

from pathlib import Path
from typing import Annotated

import typer

from spikeseq.files import write_whole
from spikeseq.recipes.command.app import Json, app, path
from spikeseq.recipes.command.console import emit, say


@app.command()
def results(
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit 1, a line each, if a figure has no run behind it."),
    ] = False,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            parser=path,
            help="Keep what a finished run, or a file of `spikeseq bench --json`, says. May be given often.",
        ),
    ] = None,
    root: Annotated[
        Path, typer.Option(metavar="DIR", parser=path, help="A copy of the project; default here.")
    ] = Path("."),
    json_: Json = False,
) -> None:
    """The page of results, docs/results/README.md, from the runs that are kept: write it, or check it."""
    from spikeseq.evaluation.results import check as pages

    if check and add:
        raise ValueError("--check writes nothing; leave --add out")
    if check:
        faults = pages.check(root)
        if json_:
            emit({"faults": faults})
        else:
            print("".join(f"{fault}\n" for fault in faults), end="")
        raise typer.Exit(1 if faults else 0)
    place = pages.results_of(root)
    if add:
        from spikeseq.evaluation.results.taken import keep  # late: it reads run folders, with torch

        for kept in keep(add, place / pages.RUNS):
            say(f"wrote {kept}")
    text, faults = pages.built(root)
    write_whole(place / pages.PAGE, text)
    for fault in faults:
        say(fault)
    say(f"wrote {place / pages.PAGE}")
    if json_:
        emit({"page": str(place / pages.PAGE), "faults": faults})
