"""A small folder of results: two seeds of a spiking model, a former run, a bench, two tables."""

import json
from pathlib import Path

TABLES = """
format: 1
tied: [imdb.md]
thesis:
- title: "Table 1: sentiment"
  chapter: "Chapter 6"
  unit: "%"
  better: higher
  key: test.accuracy
  rows:
  - {what: SNN, thesis: 88.5, run: imdb-snn, differs: smaller}
  - {what: LSTM, thesis: 89.3, run: imdb-lstm}
  - {what: RNN, thesis: 82.9, waits: needs an hour}
ablations:
- title: Leaks
  key: test.accuracy
  rows:
  - {what: one, run: imdb-snn}
  - {what: the LSTM, run: imdb-lstm}
limits:
- {what: accuracy, figure: "{imdb-snn test.accuracy}", other: "{imdb-lstm test.accuracy}", why: no gates}
- {what: time, figure: "1 / {speed-here layer.lstm.ratio.total}", other: 0.3, why: the map}
"""
FORMER = """
format: 1
runs:
  imdb-lstm:
    page: imdb.md
    date: 2026-11-25
    hardware: EPYC
    seconds: 1622
    command: spikeseq train imdb --model lstm --data DIR
    figures:
      test.accuracy: 91.35
      energy.picojoules: 1104010
"""
BENCH = """\
EPYC, 2 threads, torch 2.13.0+cpu; milliseconds (times ours)

layer: gradients; 10 rounds
             forward       backward          total
  spikeseq   4.33 (1.00x)   9.05 (1.00x)  13.41 (1.00x)
  lstm      12.74 (2.95x)  25.78 (2.83x)  1,038.53 (2.50x)
  lstm: nn.LSTM(128, 128)

goal missed: in half of the time: 2.50 x (lstm)
"""
PAGE = """\
| snn | 90.2<!-- = {imdb-snn test.accuracy} --> |
| lstm | **91.35**<!-- = {imdb-lstm test.accuracy} --> | 1,104.01 nJ |
"""


def kept(seed: int, accuracy: float, **changes: object) -> str:
    """What is kept of a run."""
    run = {
        "format": 1,
        "recipe": "imdb",
        "model": "snn",
        "method": None,
        "seed": seed,
        "settings": {"train.epochs": 3},
        "from": None,
        "command": f"spikeseq train imdb --model snn --data DIR --seed {seed}",
        "figures": {
            "data": "IMDB",
            "used": {"data.limit": None},
            "test": {"accuracy": accuracy, "by_substep": [50.0, accuracy]},
            "seconds": {"train": 10.0 * seed},
            "hardware": "EPYC",
        },
    }
    return json.dumps(run | changes)


def results(root: Path) -> Path:
    """Writes the folder into a copy of the project that has nothing else; `docs/results`."""
    folder = root / "docs" / "results"
    (folder / "runs").mkdir(parents=True)
    (folder / "tables.yaml").write_text(TABLES)
    (folder / "runs" / "former.yaml").write_text(FORMER)
    (folder / "speed-here.txt").write_text(BENCH)
    (folder / "imdb.md").write_text(PAGE)
    (root / "README.md").write_text("No figure.\n")
    for seed, accuracy in ((1, 90.0), (2, 90.4)):
        (folder / "runs" / f"imdb-snn-{seed}.json").write_text(kept(seed, accuracy))
    return folder
