"""Tables of labelled texts, parallel texts and documents."""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from spikeseq.evaluation.reliability.cases import Target

WORDS = ["superb", "lovely", "moving", "dull", "awful", "flat", "fine", "but", "uneven"]


def rows() -> list[tuple[str, str]]:
    return [(f"film {i} was {word} and long", f"class {i % 2}") for i, word in enumerate(WORDS * 3)]


def write_texts(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts, labels = map(list, zip(*rows(), strict=True))
    (folder / "mine.csv").write_text("text,label\n" + "".join(f'"{t}",{y}\n' for t, y in rows()))
    (folder / "mine.jsonl").write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in rows()))
    pq.write_table(pa.table({"text": texts, "label": labels}), folder / "mine.parquet")
    for language in ("de", "en"):
        (folder / f"pair.{language}").write_text("".join(f"{language} {text}\n" for text in texts))
        packed = "".join(f"{text} {language}\n" for text in texts).encode()
        (folder / f"packed.{language}.gz").write_bytes(gzip.compress(packed, mtime=0))
    (folder / "long.txt").write_text("\n".join(texts))
    (folder / "long.txt.gz").write_bytes(gzip.compress("\n".join(texts).encode(), mtime=0))


def of_texts(folder: Path) -> Iterator[Target]:
    from spikeseq.recipes.language import documents
    from spikeseq.recipes.shared.texts.data import load_text_data
    from spikeseq.recipes.translation.data import load_parallel_data

    folder.mkdir(parents=True)
    write_texts(folder)

    def texts(name: str) -> Callable[[Path], Any]:
        def read(where: Path) -> Any:
            data = load_text_data(where / name)
            return [data.train.texts, data.test.texts, data.classes]

        return read

    def pairs(name: str) -> Callable[[Path], Any]:
        def read(where: Path) -> Any:
            data = load_parallel_data(where / name)
            return [list(data.train.sources), list(data.train.targets)]

        return read

    for name in ("mine.csv", "mine.jsonl", "mine.parquet"):
        yield Target(f"labelled texts: {name[5:]}", folder, (name,), texts(name))
    yield Target("parallel texts", folder, ("pair.de", "pair.en"), pairs("pair"))
    yield Target("parallel texts: gz", folder, ("packed.de.gz", "packed.en.gz"), pairs("packed"))

    def pieces(name: str, where: Path) -> Any:
        return list(documents.read(where / name, "text"))

    for name in ("long.txt", "long.txt.gz", "mine.csv", "mine.jsonl", "mine.parquet"):
        yield Target(f"documents: {name}", folder, (name,), partial(pieces, name))
