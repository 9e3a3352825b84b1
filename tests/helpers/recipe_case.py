"""Small data sets, quick settings, and the command line called without a new process."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MODELS = ("snn", "lstm", "gru", "rnn", "bow")
WORDS = {"good": "superb lovely moving", "bad": "dull awful flat", "mixed": "fine but uneven"}

TRANSLATION = [
    "data.limit=40", "data.pieces=330", "train.epochs=1", "train.batch_tokens=300", "train.warmup=2",
    "evaluate.energy_texts=3", "evaluate.beam=2", "model.channels=16", "model.layers=2",
]  # fmt: skip

LANGUAGE = [
    "data.limit=60", "train.epochs=2", "train.batch_size=4", "train.chunk=32", "train.warmup=2",
    "train.average=0.5", "evaluate.energy_tokens=40", "model.embedding_size=16", "model.layers=1",
    "model.neurons=24",
]  # fmt: skip


def quick(model: str = "snn", **changes: object) -> list[str]:
    """`--set` values for a training of a second."""
    settings = {"data.limit": 120, "data.tokenizer": "whitespace", "train.warmup": 2, "train.average": 0.5}
    settings |= {"train.batch_size": 16, "train.epochs": 2, "evaluate.energy_texts": 5}
    if model != "bow":
        settings |= {"model.hidden_size": 12, "model.embedding_size": 8}
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={'null' if value is None else value}" for key, value in settings.items()]


def sets(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def rows(per_class: int = 20) -> list[tuple[str, str]]:
    """Texts of three classes that a word gives away, of different lengths."""
    found = []
    for i in range(per_class):
        for label, words in WORDS.items():
            word = words.split()[i % 3]
            found.append((f"film {i} was {'really ' * (i % 4)}{word}", label))
    return found


def write_rows(path: Path, content: list[tuple[str, str]] | None = None) -> Path:
    """The rows as CSV, JSONL or parquet, by the path's suffix."""
    content = rows() if content is None else content
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        texts, labels = zip(*content, strict=True)
        pq.write_table(pa.table({"text": list(texts), "label": list(labels)}), path)
    elif path.suffix == ".jsonl":
        lines = [json.dumps({"text": text, "label": label}) for text, label in content]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        lines = ["text,label", *(f"{text},{label}" for text, label in content)]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


def before_manifests(folder: Path) -> Path:
    """Makes a finished run one of a version that wrote no manifest, whose files nothing is known of."""
    (folder / "manifest.json").unlink()
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["manifest"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def command(monkeypatch, capsys, *args: object, stdin: bytes = b"") -> Done:
    """`spikeseq ARGS` in this process."""
    from spikeseq.cli import main

    monkeypatch.setattr(sys, "argv", ["spikeseq", *map(str, args)])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    capsys.readouterr()
    try:
        main()
    except SystemExit as exit:
        code = exit.code
    out, err = capsys.readouterr()
    return Done(code, out, err)


def refused(done: Done) -> str:
    """The one line on standard error of a command that the user can mend."""
    assert done.code == 2, done
    assert done.out == ""
    lines = done.err.strip().splitlines()
    assert lines and lines[-1].startswith("spikeseq: ") and "Traceback" not in done.err, done.err
    # Before the error there may only be the news of a training that had begun.
    assert all(
        line.startswith(("spikeseq: reading", "spikeseq: tokenising", "spikeseq: encoding", "epoch "))
        for line in lines[:-1]
    )
    return lines[-1].removeprefix("spikeseq: ")
