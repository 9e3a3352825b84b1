"""Where texts come from: files, folders, tables; and every failure a line that names the place."""

import gzip
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spikeseq.recipes.language import documents
from spikeseq.recipes.language.documents import find
from spikeseq.recipes.shared.errors import DataError


def documents_of(source, split="train", column="text"):
    """The documents of a split, each whole."""
    found, text = [], ""
    for piece in find(str(source)).pieces(split, column):
        if piece is None:
            found.append(text)
            text = ""
        else:
            text += piece
    assert not text  # every document has its end
    return found


def write(path, content):
    """Text by the path's suffix: plain or packed, or rows of a table with the column `text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content.encode()))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"id": list(range(len(content))), "text": content}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in content))
    elif path.suffix == ".csv":
        path.write_text("id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(content)))
    else:
        path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.TXT", "wiki.tokens", "a.txt.gz", "a.raw"])
def test_a_file_is_one_document(tmp_path, name):
    path = write(tmp_path / name, "\ufeffone\n\ntwo é\r\n")
    assert documents_of(path) == ["one\n\ntwo é\r\n"]  # without the byte-order mark
    assert find(str(path)).splits == {"train"} and find(str(path)).name in ("a", "wiki")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_row_is_a_document(tmp_path, suffix):
    texts = ["one\ntwo", "", "three é"]
    assert documents_of(write(tmp_path / f"a{suffix}", texts)) == texts


def test_another_column(tmp_path):
    (tmp_path / "a.csv").write_text("text,body\n1,one\n2,two\n")
    assert documents_of(tmp_path / "a.csv", column="body") == ["one", "two"]


def test_several_files(tmp_path):
    paths = [write(tmp_path / "b.txt", "b"), write(tmp_path / "a.jsonl", ["a", "c"])]
    source = os.pathsep.join(map(str, paths))
    assert documents_of(source) == ["b", "a", "c"] and find(source).name == "b and 1 more"


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("ptb.train.txt.gz", "ptb.valid.txt.gz", "ptb.test.txt.gz"),
        ("my-train_1.md", "dev.md", "TEST.md"),
    ],
    ids=["plain", "wikitext", "ptb", "other"],
)
def test_a_folder_of_splits(tmp_path, names):
    for name in names:
        write(tmp_path / name, name)
    write(tmp_path / "README.md", "about")
    write(tmp_path / "notes.pdf", "no text")
    (tmp_path / "train").mkdir()
    for split, name in zip(("train", "validation", "test"), names, strict=True):
        assert documents_of(tmp_path, split) == [name]
    assert find(str(tmp_path)).left_out == ["README.md"]


def test_a_folder_of_parts_and_without_validation(tmp_path):
    for name in ("train-0.parquet", "train-1.parquet", "test.parquet"):
        write(tmp_path / name, [name])
    assert documents_of(tmp_path) == ["train-0.parquet", "train-1.parquet"]
    assert find(str(tmp_path)).splits == {"train", "test"}


@pytest.mark.parametrize(
    "names",
    [("dev.txt", "valid.txt"), ("a.dev.md", "validation-0.jsonl"), ("train.txt", "training.txt")],
    ids=["dev", "tables", "training"],
)
def test_two_names_of_one_split_are_refused(tmp_path, names):
    """As for images and labelled texts: they had been merged."""
    for name in ("train-0.txt", "test.txt", *names):
        write(tmp_path / name, [name] if name.endswith("l") else name)
    with pytest.raises(DataError, match=r"both \S+ and \S+; expected one of the two"):
        find(str(tmp_path))


@pytest.mark.parametrize("names", [("train.txt", "train.txt.gz"), ("a.md", "a.md.gz")], ids=["split", "any"])
def test_a_file_and_its_packed_copy_are_refused(tmp_path, names):
    for name in names:
        write(tmp_path / name, name)
    with pytest.raises(DataError, match=f"both {names[0]} and {names[1]}; expected one of the two"):
        find(str(tmp_path))


def test_a_piece_of_a_table_that_is_missing(tmp_path):
    """As after a download that was broken off."""
    for name in ("train-00000-of-00002", "test-00000-of-00001-0a1b2c", "train-extra-00000-of-00001"):
        write(tmp_path / f"{name}.parquet", [name])
    with pytest.raises(
        DataError, match=r"train-00000-of-00002\.parquet: 1 of them in .*; expected 2, as its"
    ):
        find(str(tmp_path))
    write(tmp_path / "train-00001-of-00002.parquet", ["more"])
    assert documents_of(tmp_path) == ["train-00000-of-00002", "more", "train-extra-00000-of-00001"]
    write(tmp_path / "train-00000-of-00002-0a1b2c.parquet", ["of another version"])
    with pytest.raises(
        DataError, match=r"both train-00000-of-00002-0a1b2c\.parquet and train-00000-of-00002\.parquet;"
    ):
        find(str(tmp_path))


def test_what_is_left_out_may_be_double_or_cut_off(tmp_path):
    for name in ("train.txt", "README.md", "README.md.gz", "notes-00000-of-00002.parquet"):
        write(tmp_path / name, [name] if name.endswith("t") and "-" in name else name)
    assert len(find(str(tmp_path)).left_out) == 3


def test_a_folder_of_very_many_files_is_looked_through_once(monkeypatch):
    """A text a file: thousands had taken minutes."""
    looks = []
    monkeypatch.setattr(documents, "_unpacked", lambda path: looks.append(path) or path.name)
    documents._check_once(Path("texts"), {Path(f"{number}.txt"): "" for number in range(100)})
    assert len(looks) == 100


def test_unsupervised_texts_are_trained_on_too(tmp_path):
    for name in ("train-0.txt", "train-1.txt", "unsupervised.txt", "test.txt"):
        write(tmp_path / name, name)
    assert documents_of(tmp_path) == ["train-0.txt", "train-1.txt", "unsupervised.txt"]


def test_a_folder_of_any_texts(tmp_path):
    for name in ("b.txt", "a.md", "trains.txt"):
        write(tmp_path / name, name)
    assert documents_of(tmp_path) == ["a.md", "b.txt", "trains.txt"]
    assert find(str(tmp_path)).left_out == []


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_blocks_end_where_lines_end(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(documents, "BLOCK", 10)
    text = "".join(f"line {i} é\n" * (i % 4) for i in range(20)) + "the end"
    path = write(tmp_path / f"a{suffix}", text)
    pieces = list(find(str(path)).pieces("train", "text"))
    assert pieces.pop() is None and "".join(pieces) == text and len(pieces) > 10
    assert all(piece.endswith("\n") for piece in pieces[:-1])


def test_the_sample():
    from spikeseq.recipes.language import sample

    assert find("sample").splits == set(sample.SIZES)
    found = {split: documents_of("sample", split) for split in sample.SIZES}
    assert {split: len(texts) for split, texts in found.items()} == sample.SIZES
    assert len({text for texts in found.values() for text in texts}) == sum(sample.SIZES.values())
    assert found == sample.splits()


REFUSED = {
    "nothing": (None, r"a\.txt: no such file or folder"),
    "unknown": ("a.pdf", r"a\.pdf: unknown extension '\.pdf'; expected one of \.txt, "),
    "packed table": ("a.csv.gz", r"a\.csv\.gz: unknown extension"),
    "empty folder": ("dir/", r"dir: no texts; expected files ending in \.txt, .*; it holds nothing"),
    "no training": ("dir/test.txt", r"dir: texts for test and none to train on; expected a file with train"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_there(tmp_path, case):
    name, message = REFUSED[case]
    given = tmp_path / (name or "a.txt").split("/")[0]
    if name and name.endswith("/"):
        given.mkdir()
    elif name:
        write(tmp_path / name, "x")
    with pytest.raises(DataError, match=message) as error:
        find(str(given))
    assert "\n" not in str(error.value)


def test_a_folder_among_several(tmp_path):
    source = os.pathsep.join((str(write(tmp_path / "a.txt", "a")), str(tmp_path)))
    with pytest.raises(DataError, match=rf"{re.escape(str(tmp_path))} is a folder; several paths must be"):
        find(source)


PACKED = gzip.compress(b"one\n" * 9999)
DAMAGED = {
    "cut.txt.gz": (PACKED[:-20], r"cannot be read \(.*\); expected a whole file"),
    "bits.txt.gz": (PACKED[:40] + b"\0\0\0\0" + PACKED[44:], r"cannot be read \("),
    "plain.txt.gz": (b"one\n", r"cannot be read \(Not a gzipped file"),
    "latin.txt": (b"one\ntw\xf6\n", r", line 2: byte 3 is 0xf6, which is not UTF-8"),
    "latin.txt.gz": (gzip.compress(b"\xf6"), r", line 1: byte 1 is 0xf6, which is not UTF-8"),
    "a.parquet": (b"PAR1", r": not a readable parquet file"),
    "a.csv": (b"id,body\n1,x\n", r": no column 'text'; the columns are 'id', 'body'"),
    "numbers.jsonl": (b'{"text": 1}\n', r", line 1: the text is 1; expected a string"),
    "a.jsonl": (b'{"text": "x"}\n{"tex', r", line 2: malformed JSON"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_read(tmp_path, name):
    content, message = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        DataError, match=rf"{re.escape(name)}{message if message[0] in ',:' else f': {message}'}"
    ):
        documents_of(tmp_path / name)


def test_a_parquet_file_without_the_column_and_with_numbers(tmp_path):
    pq.write_table(
        pa.table({"body": ["x"], "text": [None]}, pa.schema({"body": pa.string(), "text": pa.string()})),
        tmp_path / "a.parquet",
    )
    with pytest.raises(DataError, match=r"a\.parquet: no column 'words'; the columns are 'body', 'text'"):
        documents_of(tmp_path / "a.parquet", column="words")
    with pytest.raises(DataError, match=r"a\.parquet, row 1: the text is None; expected a string"):
        documents_of(tmp_path / "a.parquet")


def test_no_permission(tmp_path):
    path = write(tmp_path / "a.txt", "a")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(DataError, match=r"a\.txt: cannot be read \(Permission denied\)"):
        documents_of(path)
