"""The same text by different doors gives the same answer: standard input, CSV, JSONL, parquet, Python."""

import csv
import io
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from spikeseq.models import build_classifier
from spikeseq.recipes.command.filters import utf8_lines
from spikeseq.recipes.shared.errors import DataError
from spikeseq.recipes.shared.texts.files import read
from spikeseq.recipes.text.classifier import Classifier
from spikeseq.recipes.translation.data import load_parallel_data
from spikeseq.recipes.translation.lines import clean
from spikeseq.tokenizers import SpacyTokenizer, Vocab

ONE_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=30)
ODD = [
    *("a\ufeffb", "\ufeffgood", "Tom &amp; J", "a<br />b", "\u2028x", "\x00", "\x1a", '"quoted', "a,b"),
    *("é" * 9, "'"),
]


def written(tmp_path, door, texts, columns=None):
    """The texts, labelled 0 and 1 in turn, in a file of that kind."""
    path = tmp_path / f"texts.{door}"
    rows = {"text": texts, "label": [str(i % 2) for i in range(len(texts))]} if columns is None else columns
    if door == "parquet":
        pq.write_table(pa.table(rows), path)
    elif door == "jsonl":
        lines = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([rows, *zip(*rows.values(), strict=True)])
    return path


def standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return list(utf8_lines())


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    vocab = Vocab(["<pad>", "<unk>", *"abcdefgh&'", "good", "quoted", "tom"], specials=["<pad>", "<unk>"])
    config = OmegaConf.create(
        {"data": {"tokenizer": "spacy-en", "kept_tokens": None}, "evaluate": {"uncut": False}}
    )
    model = build_classifier({"name": "snn", "hidden_size": 4, "embedding_size": 4}, len(vocab), 2)
    return Classifier(model.eval(), vocab, ["no", "yes"], config, SpacyTokenizer("en"))


@settings(max_examples=25, deadline=None)
@given(st.lists(ONE_LINE.filter(str.split), min_size=1, max_size=3))
@example(ODD)
def test_every_door_gives_the_same_tokens(tmp_path_factory, classifier, texts):
    texts = [text for text in texts if clean(text)]
    texts[0] = texts[0].lstrip("\ufeff") or "a"  # there it would be the mark of a file
    tmp_path = tmp_path_factory.mktemp("doors")
    expected = [classifier.encode(text)[0] for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        lines = standard_input(patch, "".join(f"{text}\r\n" for text in texts).encode())
    assert [classifier.encode(line)[0] for line in lines] == expected
    for door in ("csv", "jsonl", "parquet"):
        rows = read(written(tmp_path, door, texts), ("text",))
        assert [classifier.encode(text)[0] for text in rows.unlabelled] == expected


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_before_standard_input(monkeypatch, classifier, mark):  # case 4.4
    lines = standard_input(monkeypatch, mark + "good film\nbad \ufeff\n".encode())
    assert lines == ["good film", "bad \ufeff"]
    assert classifier.predict(lines[:1]) == classifier.predict(["good film"])


def test_half_a_surrogate_pair_loses_no_batch(classifier):  # case 4.5
    answers = classifier.predict(["good", "a \ud83d b", "\ud83d"])
    assert answers == classifier.predict(["good", "a ? b", "?"])


@pytest.mark.parametrize("door", ["csv", "jsonl", "parquet"])
def test_a_very_long_text(tmp_path, door):  # case 4.1
    limit = csv.field_size_limit()
    rows = read(written(tmp_path, door, ["x" * 140_000, "y" * 300_000]), ("text", "label"))
    assert [len(text) for text in rows.texts] == [140_000, 300_000]
    assert csv.field_size_limit() == limit  # that of other code in the process


@pytest.mark.parametrize("door", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "labels",
    [["1", "0", "-1"], ["1.0", "0.0", "-1.0"], [1, 0, -1], [1.0, 0.0, -1.0], ["1", "0.0", "-1"]],
    ids=str,
)
def test_numbers_are_one_class_however_written(tmp_path, door, labels):  # case 4.2
    rows = read(written(tmp_path, door, [], {"text": ["a", "b", "c"], "label": labels}), ("text", "label"))
    assert (rows.labels, rows.unlabelled) == ([1, 0], ["c"])


@pytest.mark.parametrize("label", ["1.50", "01", "1.", ".0", "1e0", "0x1", "1.0.0", "-0.0", "+1"])
def test_what_is_no_whole_number_stays_a_name(tmp_path, label):
    assert read(
        written(tmp_path, "csv", [], {"text": ["a"], "label": [label]}), ("text", "label")
    ).labels == [label]


@pytest.mark.parametrize("door", ["csv", "jsonl", "parquet"])
def test_names_of_columns_are_shown_with_their_spaces(tmp_path, door):  # case 4.3
    path = written(tmp_path, door, [], {"text": ["a"], " label": ["1"]})
    with pytest.raises(DataError, match="no column 'label'; the columns are 'text', ' label'"):
        read(path, ("text", "label"))


def parquet_of(tmp_path, table):
    path = tmp_path / "odd.parquet"
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_value_that_python_does_not_have(tmp_path, column):  # case 4.11
    far = pa.array([10**17], pa.int64()).view(pa.date64())
    other = {"label": pa.array(["1"])} if column == "text" else {"text": pa.array(["a"])}
    path = parquet_of(tmp_path, pa.table({column: far, **other}))
    with pytest.raises(DataError, match=rf"odd.parquet, row 1: column '{column}' holds \w+.*cannot be read"):
        read(path, ("text", "label"))


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{", b"null", b'{"info": []}', b"\xff"])
def test_metadata_that_is_none(tmp_path, content):  # case 4.11
    table = pa.table({"text": ["a"], "label": [1]}).replace_schema_metadata({b"huggingface": content})
    rows = read(parquet_of(tmp_path, table), ("text", "label"))
    assert (rows.texts, rows.class_names) == (["a"], [])


@pytest.mark.parametrize("text", ODD)
def test_a_sentence_is_read_as_it_is_asked(tmp_path, monkeypatch, text):
    content = "".join(f"{line}\n" for line in ["ein hund", text, "zwei hunde", "drei"])
    for side in ("de", "en"):
        (tmp_path / f"corpus.{side}").write_bytes(content.encode())
    asked = {clean(line) for line in standard_input(monkeypatch, content.encode())}
    data = load_parallel_data(tmp_path / "corpus", validation_share=0.25, test_share=0.25)
    assert {line for part in (data.train, data.validation, data.test) for line in part.sources} == asked


@pytest.mark.parametrize("name", ["a.jsonl", "a.de"])
def test_lines_that_end_in_cr_alone_are_refused_where_lf_ends_them(tmp_path, monkeypatch, name):
    content = b'{"text": "a", "label": 0}\r{"text": "b", "label": 1}\r'
    for path in (tmp_path / name, tmp_path / "a.en"):
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"{name}, line 1: lines end in CR alone; expected LF or CR LF"):
        load_parallel_data(tmp_path / "a") if name == "a.de" else read(tmp_path / name, ("text", "label"))
    with pytest.raises(DataError, match="standard input, line 1: lines end in CR alone"):
        standard_input(monkeypatch, content)
    assert standard_input(monkeypatch, b"a\rb\nc\r") == ["a\rb", "c"]


def test_a_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="standard input is closed; expected lines"):
        utf8_lines()


def test_a_key_that_a_json_line_has_twice(tmp_path):  # as a column of CSV
    (tmp_path / "a.jsonl").write_text('{"text": "a", "text": "b", "label": 1}\n')
    with pytest.raises(DataError, match=r"a.jsonl, line 1: malformed JSON .the key 'text' twice"):
        read(tmp_path / "a.jsonl", ("text", "label"))
