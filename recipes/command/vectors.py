"""`spikeseq vectors`: word vectors as a file, for `--set data.vectors=FILE`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from spikeseq.recipes.command.app import Json, app, path
from spikeseq.recipes.command.console import emit, say
from spikeseq.recipes.registry import OF_WORDS, RECIPES


@app.command()
def vectors(
    source: Annotated[
        str,
        typer.Argument(help="Texts, as --data of imdb: a folder or a file; or a finished run of imdb."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", parser=path, help="The file, compressed if it ends in .gz.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="For texts: data.vector_size=200 and the like."),
    ] = None,
    json_: Json = False,
) -> None:
    """Word vectors in a text file: trained on texts, or those of a run's embedding."""
    from spikeseq.recipes.outputs import check_output
    from spikeseq.recipes.runs import CONFIG_FILE, load
    from spikeseq.recipes.shared.texts.data import source_files
    from spikeseq.tokenizers import save_vectors

    run = Path(os.path.expanduser(source))
    texts = not os.path.exists(run / CONFIG_FILE)
    # Of a folder of texts these are its files by role: vectors may be written beside them, and again.
    files = source_files(source).values() if texts and source not in ("sample", "hub") else [run]
    check_output(out, [*files, *(setting.partition("=")[2] for setting in set_ or [])])
    if texts:
        vocab, rows = RECIPES[OF_WORDS].vectors(source, set_ or [], say)
    elif set_:
        raise ValueError(f"{source} is a run, whose vectors are trained; leave --set out")
    else:
        vocab, rows = load(run).vectors()
    save_vectors(out, vocab, rows)
    say(f"wrote {out}")
    if json_:
        emit({"words": len(vocab) - 1, "size": rows.shape[1], "file": str(out)})
