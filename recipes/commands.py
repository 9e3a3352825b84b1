"""The commands of the console script, one function each."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Sequence learning on spiking layers: train, test and measure.",
)
people = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `spikeseq train`.")]


def emit(result: Any) -> None:
    """One JSON object on standard output."""
    print(json.dumps(result))


def say(text: str) -> None:
    """A line for people."""
    people.print(
        f"spikeseq: {text.removeprefix('spikeseq: ')}", highlight=False, soft_wrap=True, markup=False
    )


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="What to train: imdb.")],
    model: Annotated[
        str | None, typer.Option(help="Which model of the recipe; default the spiking one.")
    ] = None,
    data: Annotated[
        str, typer.Option(help="sample, hub, a folder, or one CSV, JSONL or parquet file.")
    ] = "sample",
    epochs: Annotated[int | None, typer.Option(help="At most so many epochs.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, batches and dropout.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/RECIPE-MODEL-SEED.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was cut off.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")
    ] = None,
    json_: Json = False,
) -> None:
    """Train a model of a recipe, test it once, and leave a run folder."""
    from spikeseq.recipes.config import ConfigError, load_config
    from spikeseq.recipes.plots import plot_history
    from spikeseq.recipes.progress import bars
    from spikeseq.recipes.train import neighbours
    from spikeseq.recipes.train import train as run

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ConfigError("--device cuda: there is no usable GPU here; use auto or cpu")
    config = load_config(recipe, model=model, data=data, seed=seed, epochs=epochs, overrides=set_)
    folder = out or Path("runs") / f"{recipe}-{config.model.name}-{seed}"
    with bars(people) as progress:
        metrics = run(config, folder, resume=resume, device=device, say=say, progress=progress)
    plot_history(folder)
    show_runs(neighbours(folder, metrics), title=f"{recipe} on {metrics['data']}, seed {seed}")
    say(f"wrote {folder}")
    if json_:
        emit(metrics)


@app.command()
def evaluate(
    run: Run,
    data: Annotated[str | None, typer.Option(help="Other data than it was trained with.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    json_: Json = False,
) -> None:
    """Test a trained model on a split."""
    from spikeseq.recipes.evaluate import evaluate as test

    result = test(run, data=data, split=split, say=say)
    if json_:
        emit(result)
    else:
        for key, value in result.items():
            if key != "energy":
                print(f"{key}: {value}")
        account = result["energy"]
        print(f"energy: {account['picojoules'] / 1000:.2f} nJ ({account['signature']})")


@app.command()
def classify(
    run: Run,
    trace: Annotated[
        Path | None, typer.Option(help="Draw the read-out word by word for the first line.")
    ] = None,
    json_: Json = False,
) -> None:
    """Classify the lines of standard input: label and probability, one line each."""
    from spikeseq.recipes.plots import plot_trace
    from spikeseq.recipes.runs import load

    if trace is not None and trace.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--trace takes a .png, .pdf or .svg file, got {trace}")
    classifier = load(run)
    if trace is not None:
        classifier.check_trace()
    results = []
    for line in utf8_lines():
        prediction = classifier.predict([line])[0]
        results.append(prediction)
        if not json_:
            print(f"{prediction.label}\t{prediction.score:.4f}", flush=True)
        if trace is not None and len(results) == 1:
            tokens, logits = classifier.trace(line)
            plot_trace(trace, tokens, logits, classifier.classes)
            say(f"wrote {trace}")
    if trace is not None and not results:
        raise ValueError("--trace draws the first line of standard input, which is empty")
    if json_:
        emit({"results": [vars(prediction) for prediction in results]})


def utf8_lines() -> Any:
    """The lines of standard input, as they come; a clear error where they are not UTF-8."""
    for number, raw in enumerate(sys.stdin.buffer, start=1):
        try:
            yield raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"line {number} of standard input is not UTF-8 (byte {error.start})") from None


@app.command()
def energy(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders to compare.")],
    data: Annotated[str | None, typer.Option(help="Measure on the test split of other data.")] = None,
    json_: Json = False,
) -> None:
    """Compute energy per token of finished runs, side by side (thesis eq. 6.3-6.8)."""
    from spikeseq.recipes.evaluate import evaluate as test
    from spikeseq.recipes.runs import METRICS_FILE, RunError, read_config, read_metrics

    rows = []
    for folder in runs:
        read_config(folder)
        metrics = read_metrics(folder)
        if metrics is None:
            raise RunError(f"{folder} has no {METRICS_FILE}: the run is not finished; go on with --resume")
        if data is not None:
            result = test(folder, data=data, split="test", say=say)
            metrics.update(test=result, spike_rate=result["spike_rate"], energy=result["energy"])
        rows.append(metrics)
    show_runs(rows, title="compute energy per token")
    if json_:
        emit({"runs": {str(folder): row["energy"] for folder, row in zip(runs, rows, strict=True)}})


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="lif, layer; default all.")
    ] = None,
    against: Annotated[str, typer.Option(help="Peers, separated by commas; default those installed.")] = "",
    json_: Json = False,
) -> None:
    """Time the kernel and the layers against RNNs and other spiking libraries."""
    from spikeseq.evaluation.bench import run_bench
    from spikeseq.evaluation.table import format_table

    result = run_bench(names or [], [peer for peer in against.split(",") if peer], say)
    people.print(format_table(result), highlight=False, soft_wrap=True, markup=False)
    if json_:
        emit(result)


@app.command()
def info(json_: Json = False) -> None:
    """Versions, and which kernel runs."""
    import platform

    import torch

    import spikeseq

    try:
        spikeseq.build()
    except RuntimeError as error:
        say(str(error))
    result = {
        "spikeseq": spikeseq.__version__,
        "python": platform.python_version(),
        **spikeseq.backend_info(),
    }
    result["cuda"] = torch.version.cuda if torch.cuda.is_available() else None
    if json_:
        emit(result)
    else:
        for key, value in result.items():
            print(f"{key}: {value}")


def show_runs(rows: list[dict[str, Any]], title: str) -> None:
    """The comparison table that a training ends with."""
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("model")
    # Short names: in 80 columns.
    for name in ("test %", "shuffled", "parameters", "MAC/token", "AC/token", "spikes", "nJ/token", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        account, test = row["energy"], row["test"]
        table.add_row(
            row["model"],
            f"{test['accuracy']:.2f}",
            f"{test['accuracy_shuffled']:.2f}" if "accuracy_shuffled" in test else "",
            f"{row['parameters_without_embeddings']:,}",
            f"{account['macs']:,.0f}",
            f"{account['acs']:,.0f}",
            "" if account["spike_rate"] is None else f"{account['spike_rate']:.3f}",
            f"{account['picojoules'] / 1000:.2f}",
            f"{row['seconds']['train']:.0f}",
        )
    people.print(table)
    people.print(
        "shuffled: test % with shuffled tokens. parameters: outside the embedding. spikes: per neuron and"
        " token, all sub-steps. nJ: compute only, 45 nm, 4.6 pJ a MAC, 0.9 pJ an AC. s: training.",
        highlight=False,
    )
