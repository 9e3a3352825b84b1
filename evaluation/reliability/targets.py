"""What is damaged: finished runs, what a training goes on from, and files of data for every reader."""

import gzip
import io
import json
import pickle
import shutil
import struct
import tempfile
import wave
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spikeseq.evaluation.reliability.cases import Target
from spikeseq.recipes import runs
from spikeseq.recipes.manifest import MANIFEST_FILE, MARK, write_manifest
from spikeseq.recipes.plain import Settings

LINES = ["The acting was superb, and I loved it.", "Zwei Katzen stehen auf."]
WORDS = ["superb", "lovely", "moving", "dull", "awful", "flat", "fine", "but", "uneven"]


def of_runs(found: list[Path], place: Path) -> Iterator[Target]:
    """Of each finished run a copy with a manifest, and one as versions before manifests wrote it."""
    for run in found:
        for kind, strict in (("run", True), ("run of before", False)):
            folder = shutil.copytree(run, place / kind.replace(" ", "-") / run.name)
            names = [path.name for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES]
            metrics = json.loads((folder / runs.METRICS_FILE).read_text(encoding="utf-8"))
            metrics.pop(MARK, None)
            (folder / MANIFEST_FILE).unlink(missing_ok=True)
            if strict:
                told = json.dumps(metrics | {MARK: 1})
                write_manifest(folder, names, {runs.METRICS_FILE: told})
                (folder / runs.METRICS_FILE).write_text(told, encoding="utf-8")
                names = [*names, MANIFEST_FILE]
            else:
                (folder / runs.METRICS_FILE).write_text(json.dumps(metrics), encoding="utf-8")
            yield Target(f"{kind}: {run.name}", folder, tuple(sorted(names)), used, strict)


SUFFIXES = (".json", ".jsonl", ".safetensors", ".yaml", ".model")


@torch.no_grad()
def used(folder: Path) -> Any:
    """All that is read from a run, and an answer of its model."""
    from spikeseq.evaluation.energy.table import compute_rows, memory_rows

    metrics, log = runs.finished(folder), runs.read_log(folder)
    row, named = runs.row_of(folder, metrics), {"run": metrics}
    rows = [compute_rows(named, metrics["recipe"]), memory_rows(named)]
    opened = runs.load(folder)
    return [json.dumps([row, rows, [[r["epoch"], r["loss"]] for r in log]]), answer(opened)]


def answer(opened: Any) -> Any:
    """Of a model, to something small."""
    if opened.translates:
        return opened.translate(LINES[1:], beam=1)
    if opened.writes:
        return ["".join(opened.generate("a", tokens=4, seed=1)), opened.score("one").log_probabilities]
    if opened.reads == "text":
        return [prediction.scores for prediction in opened.predict(LINES[:1])]
    if hasattr(opened, "size"):
        pixels = torch.arange(opened.channels * opened.size**2).view(1, opened.channels, opened.size, -1)
        return [prediction.scores for prediction in opened.predict((pixels * 7 % 251).to(torch.uint8))]
    if hasattr(opened, "encoding"):
        return [prediction.scores for prediction in opened.predict([events(3000)])]
    state = opened.model.state_dict()
    return [sorted(state), opened.classes, [float(value.double().sum()) for value in state.values()]]


def events(count: int) -> np.ndarray:
    i = np.arange(count)
    found = np.zeros(count, [("x", "<i2"), ("y", "<i2"), ("p", "?"), ("t", "<i8")])
    found["x"], found["y"], found["p"], found["t"] = (i * 37) % 128, i * 53 % 128, i % 3 == 0, i * 20
    return found


# What a training goes on from.


class Points(nn.Module):
    """A model of a few numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def parts_of(model: nn.Module) -> dict[str, Any]:
    """What the engine keeps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    return {"model": model, "optimizer": optimizer, "schedule": schedule, "average": average}


def stepped(parts: dict[str, Any]) -> Any:
    """One update, and the weights behind it."""
    x = torch.arange(12.0).view(4, 3)
    parts["model"](x).square().sum().backward()
    parts["optimizer"].step()
    parts["average"].update_parameters(parts["model"])
    states = [parts["model"].state_dict(), parts["average"].state_dict()]
    return [[float(value.double().sum()) for value in state.values()] for state in states]


def of_resuming(place: Path) -> Iterator[Target]:
    """`resume.pt` with its checksum and a former one, and as versions before checksums wrote it."""
    from spikeseq.recipes import resume
    from spikeseq.recipes.engine import Progress, _load, _save
    from spikeseq.recipes.history import State

    def read(folder: Path) -> Any:
        parts = parts_of(Points())
        best = {name: value.clone() for name, value in parts["model"].state_dict().items()}
        state, _ = _load(folder, parts, best, Progress())
        return [state.epoch, stepped(parts)]

    for kind in ("resume.pt", "resume.pt of before"):
        folder = place / kind.replace(" ", "-")
        folder.mkdir(parents=True)
        parts = parts_of(Points())
        record = {"loss": 0.5, "validation": {"score": 1.0}, "seconds": 0.1}
        for epoch in (1, 2):
            stepped(parts)
            best = {name: value.clone() for name, value in parts["model"].state_dict().items()}
            history = [{"epoch": i + 1, **record} for i in range(epoch)]
            _save(folder, parts, best, State(1, epoch, 1.0, 0, history))
        if "before" in kind:
            saved = io.BytesIO()
            torch.save(resume.read(folder / resume.RESUME_FILE), saved)
            (folder / resume.RESUME_FILE).write_bytes(saved.getvalue())
            (folder / resume.PREVIOUS_FILE).unlink()
        else:  # the one before is equal, so that a fall back is told from another state
            shutil.copy(folder / resume.RESUME_FILE, folder / resume.PREVIOUS_FILE)
        yield Target(kind, folder, (resume.RESUME_FILE,), read, strict="before" not in kind)


# Data.


def rows() -> list[tuple[str, str]]:
    return [(f"film {i} was {word} and long", f"class {i % 2}") for i, word in enumerate(WORDS * 3)]


def png(form: str, side: int = 8, channels: int = 3) -> bytes:
    pixels = (np.arange(side * side * channels) * 5 % 256).astype(np.uint8).reshape(side, side, channels)
    buffer = io.BytesIO()
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(buffer, form)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def image_settings(folder: Path, recipe: str) -> Settings:
    return Settings(
        recipe=recipe, source=str(folder), validation_share=0.25, split_seed=1, limit=None, size=None
    )


def images(recipe: str) -> Callable[[Path], Any]:
    from spikeseq.recipes.shared.images.data import load_images

    def read(folder: Path) -> Any:
        data = load_images(image_settings(folder, recipe))
        return [data.classes, *(int(split.pixels.long().sum()) for split in data.splits.values())]

    return read


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


def of_vocabularies(folder: Path) -> Iterator[Target]:
    from spikeseq.recipes.shared.kept_tokenizer import open_tokenizer
    from spikeseq.tokenizers import SubwordTokenizer, Vocab, load_vectors
    from spikeseq.tokenizers.rules import Rules

    folder.mkdir(parents=True)
    words = [text.split() for text, _ in rows()]
    vocab = Vocab.build(words, specials=("<unk>",))
    vocab.to_json(folder / "vocab.json")
    tokenizer = SubwordTokenizer.train([text for text, _ in rows()], 300)
    (folder / "subword.model").write_bytes(tokenizer.to_bytes())
    vectors = "".join(f"{word} 0.5 -1e-3 {i}\n" for i, word in enumerate(vocab.tokens[1:]))
    (folder / "vectors.txt").write_text(vectors)
    (folder / "vectors.txt.gz").write_bytes(gzip.compress(vectors.encode(), mtime=0))
    rules = Rules("en", "0", {"prefix_search": (r"^\(", 32), "infix_finditer": ("-", 32)}, {"a": ["a"]}, [])
    (folder / "rules.json").write_text(rules.to_json())
    yield Target("vocabulary", folder, ("vocab.json",), lambda f: Vocab.from_json(f / "vocab.json").tokens)
    yield Target(
        "subword model", folder, ("subword.model",),
        lambda f: SubwordTokenizer.from_file(f / "subword.model")("was uneven"), True,
    )  # fmt: skip

    def read_vectors(name: str, where: Path) -> Any:
        with tempfile.TemporaryDirectory() as cache:  # not the user's
            noise = torch.Generator().manual_seed(1)
            return load_vectors(where / name, vocab, cache=cache, generator=noise)[0].tolist()

    for name in ("vectors.txt", "vectors.txt.gz"):
        yield Target(f"word vectors: {name[8:]}", folder, (name,), partial(read_vectors, name))
    yield Target(
        "rules of a tokenizer",
        folder,
        ("rules.json",),
        lambda f: open_tokenizer(f / "rules.json", "spacy-en")("was-(a)"),
        strict=True,
    )


def of_images(place: Path) -> Iterator[Target]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = [i % 2 for i in range(12)]
    for form in ("png", "jpeg", "webp", "bmp"):
        folder = place / form
        for split in ("train", "test"):
            for i, label in enumerate(labels[:6]):
                (folder / split / f"class{label}").mkdir(parents=True, exist_ok=True)
                (folder / split / f"class{label}" / f"{i}.{form}").write_bytes(png(form))
        yield Target(f"images: {form}", folder, ("train/class0/0." + form,), images("imagenette"))
    folder = place / "idx"
    folder.mkdir()
    pixels = np.arange(12 * 784).reshape(12, 28, 28) % 256
    names = []
    for stem in ("train", "t10k"):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", np.array(labels))):
            names.append(f"{stem}-{kind}-ubyte.gz")
            (folder / names[-1]).write_bytes(gzip.compress(idx(array), mtime=0))
    yield Target("images: idx, gz", folder, tuple(names), images("mnist"))
    folder = place / "batches"
    folder.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        content = {"data": np.zeros((12, 3072), np.uint8), "labels": [i % 10 for i in range(12)]}
        (folder / name).write_bytes(pickle.dumps(content, 2))
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, 2))
    yield Target("images: pickles", folder, (*names[:2], "test_batch", "batches.meta"), images("cifar10"))
    folder = place / "parquet"
    folder.mkdir()
    for split in ("train", "test"):
        structs = [{"bytes": png("png"), "path": f"{i}.png"} for i in range(12)]
        pq.write_table(pa.table({"img": structs, "label": labels}), folder / f"{split}.parquet")
    yield Target("images: parquet", folder, ("train.parquet", "test.parquet"), images("cifar10"))


def of_recordings(folder: Path) -> Iterator[Target]:
    from spikeseq.recipes.gestures.files import read_recording
    from spikeseq.recipes.multimodal.sounds import read_wav

    folder.mkdir(parents=True)
    i = np.arange(300)
    rows_of_events = np.stack([i * 37 % 128, i * 53 % 128, i % 2, i // 5], 1).astype(np.int32)
    np.save(folder / "one.npy", rows_of_events)
    with wave.open(str(folder / "one.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(struct.pack("<800h", *(k * 41 % 9000 for k in range(800))))

    def recording(where: Path) -> Any:
        return [column.tolist() for column in (read_recording(where / "one.npy")[name] for name in "xypt")]

    yield Target("recordings of events", folder, ("one.npy",), recording)
    yield Target(
        "sounds",
        folder,
        ("one.wav",),
        lambda f: [read_wav(f / "one.wav")[1], read_wav(f / "one.wav")[0].tolist()],
    )


def of_data(place: Path) -> Iterator[Target]:
    """Every reader of data."""
    yield from of_texts(place / "texts")
    yield from of_vocabularies(place / "vocabularies")
    yield from of_images(place / "images")
    yield from of_recordings(place / "recordings")
