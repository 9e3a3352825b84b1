"""The commands that answer the lines of standard input."""

import codecs
import itertools
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spikeseq.recipes.command.app import Json, Run, app
from spikeseq.recipes.command.console import check_picture, emit, say


@app.command()
def translate(
    run: Run,
    beam: Annotated[int, typer.Option(min=1, help="Live hypotheses; 1 is greedy.")] = 5,
    batch: Annotated[
        int,
        typer.Option(min=1, help="Lines translated together; 1 answers each at once."),
    ] = 1,
    attention: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the attention for the first line.")
    ] = None,
) -> None:
    """Translate the lines of standard input: one line out for every line in."""
    from spikeseq.recipes.runs import load

    if attention is not None:
        check_picture("--attention", attention)
    translator = load(run)
    if not translator.translates:
        raise ValueError(f"{run} does not translate; try `spikeseq classify {run}`")
    lines, penalty = utf8_lines(), translator.config.evaluate.length_penalty
    if attention is not None:
        first = next(lines, None)
        if first is None:
            raise ValueError("--attention draws the first line of standard input, which is empty")
        from spikeseq.recipes.shared.plots import plot_attention

        plot_attention(attention, *translator.attention(first, beam=beam, length_penalty=penalty))
        say(f"wrote {attention}")
        lines = itertools.chain([first], lines)
    for line in translator.translate_stream(lines, beam=beam, length_penalty=penalty, batch_size=batch):
        print(line, flush=True)


@app.command()
def classify(
    run: Run,
    trace: Annotated[
        Path | None,
        typer.Option(help="Draw the read-out, word by word or frame by frame, for the first line."),
    ] = None,
    json_: Json = False,
) -> None:
    """Classify the lines of standard input: texts, or paths of images or of recordings of events."""
    from spikeseq.recipes.runs import load

    if trace is not None:
        check_picture("--trace", trace)
    classifier = load(run)
    if not classifier.classifies:
        raise ValueError(f"{run} does not classify; try `spikeseq translate {run}`")
    if trace is not None:
        try:
            classifier.check_trace()
        except TypeError as error:
            raise ValueError(f"--trace: {error}") from None
    results = []
    for number, line in enumerate(utf8_lines(), start=1):
        if not line and classifier.reads == "path":
            raise ValueError(f"line {number} of standard input is empty; expected the path of a file")
        prediction = classifier.predict([line])[0]
        results.append(prediction)
        if not json_:
            print(f"{prediction.label}\t{prediction.score:.4f}", flush=True)
        if trace is not None and len(results) == 1:
            classifier.draw(line, trace)
            say(f"wrote {trace}")
    if trace is not None and not results:
        raise ValueError("--trace draws the first line of standard input, which is empty")
    if json_:
        emit({"results": [vars(prediction) for prediction in results]})


def utf8_lines() -> Any:
    """The lines of standard input, as they come, without a byte-order mark; a clear error where they are not
    UTF-8."""
    for number, raw in enumerate(sys.stdin.buffer, start=1):
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            yield raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number} of standard input is not UTF-8 (byte {error.start})") from None
