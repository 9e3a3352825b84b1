"""The commands that answer the lines of standard input."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from spikeseq.recipes.command.app import Json, Run, app, path
from spikeseq.recipes.command.console import check_picture, emit, say
from spikeseq.recipes.command.start import uncollected
from spikeseq.recipes.shared.files.utf8 import lines
from spikeseq.recipes.shipped.fetched import SHIPPED

COMMANDS = {"translates": "translate", "classifies": "classify", "writes": "generate"}
"""What a run does, and the command for it."""
UNBROKEN = str.maketrans("\r\n", "  ")


def opened(run: Path, does: str) -> Any:
    """The model of a run folder that does one of COMMANDS.

    Raises:
        ValueError: it does something else; naming the command for that.
    """
    with uncollected():
        from spikeseq.recipes.runs import load

        found = load(run)
    if not getattr(found, does):
        other = next(command for what, command in COMMANDS.items() if getattr(found, what))
        verb = "write" if does == "writes" else COMMANDS[does]
        raise ValueError(f"{run} does not {verb}; try `spikeseq {other} {run}`")
    return found


@app.command()
def translate(
    run: Run,
    beam: Annotated[int, typer.Option(min=1, max=1000, help="Live hypotheses; 1 is greedy.")] = 5,
    batch: Annotated[
        int,
        typer.Option(min=1, help="Lines translated together; 1 answers each at once."),
    ] = 1,
    attention: Annotated[
        Path | None, typer.Option(metavar="FILE", parser=path, help="Draw the attention for the first line.")
    ] = None,
) -> None:
    """Translate the lines of standard input: one line out for every line in."""
    if attention is not None:
        check_picture("--attention", attention, [run])
    translator = opened(run, "translates")
    coming, penalty = utf8_lines(), translator.config.evaluate.length_penalty
    if attention is not None:
        first = next(coming, None)
        if first is None:
            raise ValueError("--attention draws the first line of standard input, which is empty")
        from spikeseq.recipes.shared.plots import plot_attention

        plot_attention(attention, *translator.attention(first, beam=beam, length_penalty=penalty))
        say(f"wrote {attention}")
        coming = itertools.chain([first], coming)
    for line in translator.translate_stream(coming, beam=beam, length_penalty=penalty, batch_size=batch):
        print(line, flush=True)


@app.command()
def classify(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            parser=path,
            help="A run folder made by `spikeseq train`; default the one that comes with the package, which"
            " tells good film reviews from bad ones.",
            show_default=False,
        ),
    ] = SHIPPED,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=path,
            help="Draw the read-out, word by word or frame by frame, for the first line.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Classify the lines of standard input: texts, or paths of images or of recordings of events."""
    if trace is not None:
        check_picture("--trace", trace, [run])
    if run == SHIPPED:
        say("no RUN: the model of film reviews that comes with the package answers")
    classifier = opened(run, "classifies")
    if trace is not None:
        try:
            classifier.check_trace()
        except TypeError as error:
            raise ValueError(f"--trace: {error}") from None
    results, number = [], 0
    for number, line in enumerate(utf8_lines(), start=1):
        if not line and classifier.reads == "path":
            raise ValueError(f"line {number} of standard input is empty; expected the path of a file")
        prediction = classifier.predict([line])[0]
        if json_:
            results.append(prediction)
        else:
            print(f"{prediction.label}\t{prediction.score:.4f}", flush=True)
        if trace is not None and number == 1:
            classifier.draw(line, trace)
            say(f"wrote {trace}")
    if trace is not None and not number:
        raise ValueError("--trace draws the first line of standard input, which is empty")
    if json_:
        emit({"results": [vars(prediction) for prediction in results]})


@app.command()
def generate(
    run: Run,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="What to go on from; default nothing. `-`: every line of standard input; a line for each, in"
            " which line breaks that the model writes are spaces."
        ),
    ] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="How many at most; default 200.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 takes the likeliest token; default 1, the model as it is.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Only among the k likeliest tokens; default all.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Only among the likeliest that hold this share; default 1, all.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of what is drawn; default 1.")] = None,
    score: Annotated[
        bool,
        typer.Option("--score", help="Write nothing: tell how likely every line of standard input is."),
    ] = False,
    json_: Json = False,
) -> None:
    """Write on with a language model, token by token; or tell how likely lines are."""
    from spikeseq.tokenizers.words import whole_characters

    writer = opened(run, "writes")
    results: list[dict[str, Any]] = []
    given = {"tokens": tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if score:
        for name in ("prompt", *chosen) if prompt is not None else chosen:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"--score writes nothing: it tells of lines of standard input; leave {option} out"
            )
        for line in utf8_lines():
            found = writer.score(line)
            if json_:
                results.append({"text": line, "bits_per_byte": found.bits_per_byte, **vars(found)})
            else:
                print(f"{sum(found.log_probabilities):.4f}\t{found.bits_per_byte:.4f}\t{line}", flush=True)
        if json_:
            emit({"results": results})
        return
    for beginning in utf8_lines() if prompt == "-" else [whole_characters(prompt or "")]:
        pieces = writer.generate(beginning, **{"seed": 1, **chosen})
        if json_:
            results.append({"prompt": beginning, "text": "".join(pieces)})
            continue
        print(beginning, end="", flush=True)
        for piece in pieces:
            print(piece.translate(UNBROKEN) if prompt == "-" else piece, end="", flush=True)
        print(flush=True)
    if json_:
        emit({"results": results})


def utf8_lines() -> Iterator[str]:
    """The lines of standard input, as they come. Raises DataError where they are not UTF-8."""
    if sys.stdin is None:
        raise ValueError("standard input is closed; expected lines")
    return lines(sys.stdin.buffer, "standard input")
