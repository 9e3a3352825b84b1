"""The commands that train, test and measure, one function each."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from spikeseq.recipes.command.app import Json, Run, app, path
from spikeseq.recipes.command.console import check_picture, emit, people, say, show_runs, show_table
from spikeseq.recipes.command.start import uncollected
from spikeseq.recipes.registry import RECIPES


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(help=f"{', '.join(RECIPES)}.", autocompletion=lambda: list(RECIPES)),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Which model of the recipe; default that of its file. A wrong name lists them."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Which way of training, in recipes that have several. A wrong name lists them."),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", parser=path, help="The run that a method goes on from."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="sample, hub, a folder, a file of texts (for lm several, with"
            f" {os.pathsep!r} between them), or the prefix of two parallel files;"
            " default that of --from, else sample."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many epochs.")] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Cross-validation: train once for each of so many parts, in DIR/fold-1 and so on."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, batches and dropout.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=path, help="Run folder; default runs/RECIPE-MODEL[-METHOD]-SEED."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was cut off.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")
    ] = None,
    json_: Json = False,
) -> None:
    """Train a model of a recipe, test it once, and leave a run folder."""
    from spikeseq.recipes.comparison import neighbours, split_of
    from spikeseq.recipes.config import check_once, load_config
    from spikeseq.recipes.folds import fold_settings, told, train_folds
    from spikeseq.recipes.plain import ConfigError, check_recipe
    from spikeseq.recipes.runs import cut_off, load, run_name
    from spikeseq.recipes.shared.progress import bars
    from spikeseq.recipes.train import train as run

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ConfigError("--device cuda: there is no usable GPU here; use auto or cpu")
    settings = set_ or []
    check_once(settings, epochs)
    if from_ is not None:
        # A run that goes on has its settings in its own folder.
        folders = [out] if out else Path("runs").glob(run_name(recipe, model or "*", method, seed))
        own = cut_off(from_, recipe, method, folders) if resume else None
        check_recipe(recipe)
        known = RECIPES[recipe]
        start = known.inherited(from_, recipe, model, method) if own is None else known.taken_over(own)
        model, data, settings = (
            model or start.model,
            start.source if data is None else data,
            [*start.settings, *settings],
        )
    if folds is not None and folds < 2:
        raise ConfigError(f"--folds must be at least 2, got {folds}")
    configs = []
    for fold in range(1, (folds or 1) + 1):
        of_fold = [] if folds is None else fold_settings(folds, fold)
        config = load_config(
            recipe,
            model=model,
            method=method,
            data="sample" if data is None else data,
            seed=seed,
            epochs=epochs,
            overrides=[*settings, *of_fold],
        )
        if from_ is not None:
            config.model.start = str(from_.resolve())
        configs.append(config)
    name = run_name(recipe, config.model.name, config.model.get("method"), seed)
    folder = out or Path("runs") / (name if folds is None else f"{name}-folds")

    def drawn(metrics: dict[str, Any]) -> None:
        from spikeseq.recipes.shared.plots import plot_history  # late: a start need not wait for it

        plot_history(folder)
        RECIPES[recipe].draw(folder, metrics, load)

    with bars(people()) as progress:
        train_one = partial(run, resume=resume, device=device, say=say, progress=progress)
        if folds is None:
            metrics = train_one(config, folder, finish=drawn)
        else:
            metrics = train_folds(configs, folder, train_one, say)
    if not metrics:  # one of several processes, of which the first one plots and prints
        return
    if folds is not None:
        say(told(metrics))
        say(f"wrote {folder}")
        if json_:
            emit(metrics)
        return
    show_runs(
        neighbours(folder, metrics),
        title=f"{recipe} on {metrics['data']}, {split_of(metrics)} split, seed {seed}",
    )
    if metrics.get("note"):
        say(metrics["note"])
    say(f"wrote {folder}")
    if json_:
        emit(metrics)


@app.command()
def evaluate(
    run: Run,
    data: Annotated[str | None, typer.Option(help="Other data than it was trained with.")] = None,
    split: Annotated[
        str,
        typer.Option(help="train, validation or test; for lm also all, for multi30k a test file's name."),
    ] = "test",
    against: Annotated[
        Path | None,
        typer.Option(metavar="RUN", parser=path, help="Another translation run: paired bootstrap of BLEU."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=path, help="Folder for the translations and their references, a line each."
        ),
    ] = None,
    events: Annotated[
        str | None, typer.Option(help="Driven by events, with weights of float32 or int8.")
    ] = None,
    json_: Json = False,
) -> None:
    """Test a trained model on a split."""
    from spikeseq.files import check_place, write_whole
    from spikeseq.recipes.evaluate import compare
    from spikeseq.recipes.evaluate import evaluate as test
    from spikeseq.recipes.outputs import check_apart
    from spikeseq.recipes.runs import read_config

    if out is not None and (against is not None or not RECIPES[read_config(run).recipe].writes_lines):
        raise ValueError("--out is for the translations of one run; leave it out")
    if out is not None:
        check_place(out, parents=True)
        for kind in ("hypotheses", "references"):
            check_apart(out / f"{split}.{kind}", [run, data])
    if against is not None and events is not None:
        raise ValueError("--events tests one run; leave --against out")
    if against is not None:
        result = compare(run, against, data=data, split=split, say=say)
    else:
        result = test(run, data=data, split=split, say=say, events=events)
        files = result.pop("files", {})
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                write_whole(out / name, content)
    if json_:
        emit(result)
    else:
        for key, value in result.items():
            if key not in ("energy", "baseline", "bootstrap"):
                print(f"{key}: {value}")
        account = result["energy"]
        print(f"energy: {account['picojoules'] / 1000:.2f} nJ ({account['signature']})")
        for name, system in result.get("bootstrap", {}).get("systems", {}).items():
            p = "the baseline" if system["p_value"] is None else f"p = {system['p_value']:.4f}"
            print(f"{name}: BLEU {system['mean']:.2f} +- {system['ci']:.2f} ({p})")


@app.command()
def energy(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", parser=path, help="Run folders to compare.")
    ],
    data: Annotated[str | None, typer.Option(help="Measure on the test split of other data.")] = None,
    prices: Annotated[
        str | None, typer.Option(help="One more column: a YAML file with your prices in pJ, or full:LEVEL.")
    ] = None,
    frontier: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=path,
            help="Draw score against energy, and mark the models that none dominates.",
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Also measure joules a sentence, by this machine's energy counter."),
    ] = False,
    json_: Json = False,
) -> None:
    """Energy of finished runs, side by side, as in thesis tables 5.3, 6.8 and 6.9, and with memory."""
    from spikeseq.evaluation.energy.measure import BATCH
    from spikeseq.evaluation.energy.prices import full, parse_energy_model
    from spikeseq.evaluation.energy.table import LEGEND, compute_rows, frontier_rows, memory_rows
    from spikeseq.recipes.evaluate import evaluate as test
    from spikeseq.recipes.runs import finished

    if frontier is not None:
        check_picture("--frontier", frontier, [*runs, data, prices])
    counters = None
    if measure:
        from spikeseq.evaluation import power

        counters = power.zones()
    own = None if prices is None else parse_energy_model(prices)
    rows = []
    for folder in runs:
        metrics = finished(folder)
        if data is not None:
            result = test(folder, data=data, split="test", say=say)
            metrics.update(test=result, spike_rate=result["spike_rate"], energy=result["energy"])
        rows.append(metrics)
    if frontier is not None and len({row["recipe"] for row in rows}) > 1:
        raise ValueError("--frontier is of the runs of one recipe; give those alone")
    tables: dict[str, Any] = {}
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        named = {str(f): row for f, row in zip(runs, rows, strict=True) if row["recipe"] == recipe}
        short = {Path(name).name.removeprefix(f"{recipe}-"): row for name, row in named.items()}
        named = short if len(short) == len(named) else named
        tables[recipe] = {"compute": compute_rows(named, recipe), "full": memory_rows(named, own)}
        unit = RECIPES[recipe].unit
        show_table(tables[recipe]["compute"], f"{recipe}: compute energy per {unit}")
        people().print(LEGEND.format(unit=unit), highlight=False)
        for table in RECIPES[recipe].tables(named):
            tables[recipe][table.key] = table.lines
            show_table(table.lines, f"{recipe}: {table.title}")
            people().print(table.legend, highlight=False)
        for signature in dict.fromkeys(row["energy"]["signature"] for row in named.values()):
            people().print(signature, highlight=False)
        if frontier is not None:
            tables[recipe]["frontier"] = frontier_rows(named, recipe)
            show_table(tables[recipe]["frontier"], f"{recipe}: score and nJ per {unit}; * on the frontier")
            draw_frontier(named, recipe, frontier)
        if tables[recipe]["full"]:  # runs of an earlier version have only counts of MACs and ACs
            show_table(tables[recipe]["full"], f"{recipe}: all operations and memory, nJ per {unit}")
            people().print(
                full().signature.replace("full at 32KB", "full, here the 32KB column")
                + f". x{BATCH}: so many sequences are computed together, and a weight that several need is"
                f" read once. a synapse: spikes that a weight sees per {unit}.",
                highlight=False,
            )
    measured = {}
    for folder in runs if counters else ():
        assert counters is not None
        from spikeseq.recipes.runs import load

        opened = load(folder)
        example = RECIPES[opened.config.recipe].example
        measured[str(folder)] = power.measure(power.answers(opened, example), counters)
        say(f"{folder}, measured on this machine: {power.told(measured[str(folder)])}")
    missing = {name for row in rows for name in row["energy"]["not_counted"]}
    if missing:
        say(f"not counted: {', '.join(sorted(missing))}")
    guessed = {name for row in rows for name in row["energy"].get("guessed", ())}  # older runs have none
    if guessed:
        say(f"taken for spikes because of their values: {', '.join(sorted(guessed))}")
    if json_:
        accounts = {str(folder): row["energy"] for folder, row in zip(runs, rows, strict=True)}
        emit({"runs": accounts, "tables": tables, **({"measured": measured} if measured else {})})


def draw_frontier(runs: dict[str, dict[str, Any]], recipe: str, place: Path) -> None:
    """The picture of `spikeseq energy --frontier`."""
    from spikeseq.evaluation.energy.table import FRONTIERS, frontier_points
    from spikeseq.recipes.shared.plots import plot_frontier

    panels = {level: frontier_points(runs, level) for level in FRONTIERS}
    known = RECIPES[recipe]
    plot_frontier(panels, known.figure, known.unit, place, lower_is_better=known.lower_is_better)
    say(f"wrote {place}")


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", parser=path, help="Run folders of one recipe.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", parser=path, help="The page, an .html file.")] = Path(
        "report.html"
    ),
    text: Annotated[
        str | None, typer.Option(help="What membranes, spikes and attention are shown on.")
    ] = None,
) -> None:
    """One self-contained HTML page about a run, or runs side by side."""
    from spikeseq.recipes.outputs import check_output

    check_output(out, runs)
    from spikeseq.evaluation.report import write_report  # late: it takes long

    write_report(runs, out, text)
    say(f"wrote {out}")


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="lif, layer, recurrent, model, memory, growth, step, translate, events, stdp, language,"
            " export, start, scaling, cuda; default all.",
        ),
    ] = None,
    against: Annotated[str, typer.Option(help="Peers, separated by commas; default those installed.")] = "",
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=path, help="Draw how cost grows: a picture of `growth`."),
    ] = None,
    json_: Json = False,
) -> None:
    """Time the kernel and the layers against RNNs and other spiking libraries."""
    from spikeseq.evaluation.bench.run import run_bench
    from spikeseq.evaluation.bench.table import format_table

    if plot is not None:
        from spikeseq.recipes.shared.plots import plot_growth

        check_picture("--plot", plot)
        if names and "growth" not in names:
            raise ValueError(f"--plot draws the benchmark growth, which is not among {', '.join(names)}")
    result = run_bench(names or [], [peer for peer in against.split(",") if peer], say)
    people().print(format_table(result), highlight=False, soft_wrap=True, markup=False)
    if plot is not None:
        plot_growth(result["benchmarks"], plot)
        say(f"wrote {plot}")
    if json_:
        emit(result)


@app.command()
def info(json_: Json = False) -> None:
    """Versions, and which kernel runs."""
    import platform

    with uncollected():
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
