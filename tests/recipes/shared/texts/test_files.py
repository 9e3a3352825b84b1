import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.recipes.shared.errors import DataError
from spikeseq.recipes.shared.texts.files import LINE_BREAK, clean, read

BOTH = ("text", "label")


def message(path: Path, columns: tuple[str, ...] = BOTH) -> str:
    """The one-line error that reading `path` raises; it names the file."""
    with pytest.raises(DataError) as caught:
        read(path, columns)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    return text


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Good.<br /><br />Very good.", "Good. Very good."),
        ("a<BR>b<br/>c", "a b c"),
        ("Tom &amp; Jerry &lt;br /&gt; &quot;fun&quot;", 'Tom & Jerry "fun"'),
        (" two\u00a0\tspaces\n", "two spaces"),
        ("1 < 2 > 0, <b>bold</b>", "1 < 2 > 0, <b>bold</b>"),
        ("", ""),
    ],
)
def test_clean(raw, cleaned):
    assert clean(raw) == cleaned


@given(st.text(alphabet=st.sampled_from("ab <br/>&lt;gt\n\u00a0é"), max_size=40))
def test_clean_leaves_no_line_break_and_single_spaces(raw):
    text = clean(raw)
    assert not LINE_BREAK.search(text)
    assert text == " ".join(text.split())


def test_the_three_formats_give_the_same_rows(tmp_path):
    texts, labels = ['He said "no",\nthen left', "fine", "001"], [1, 0, -1]
    paths = [parquet(tmp_path / "a.parquet", text=texts, label=labels)]
    with open(tmp_path / "a.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([("id", "label", "text"), *zip("xyz", labels, texts, strict=True)])
    paths.append(tmp_path / "a.csv")
    lines = [json.dumps({"text": t, "label": v, "more": None}) for t, v in zip(texts, labels, strict=True)]
    paths.append(write(tmp_path / "a.JSONL", "\n".join(lines) + "\n\n"))
    for path in paths:
        rows = read(path, BOTH)
        assert rows.texts == ['He said "no", then left', "fine"]
        assert rows.labels == [1, 0]
        assert rows.unlabelled == ["001"]
        assert rows.class_names == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
            ),
            st.integers(-1, 3),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_csv_and_jsonl_give_back_what_was_written(tmp_path_factory, rows):
    rows = [(f"w{text}w", label) for text, label in rows]
    folder = tmp_path_factory.mktemp("files")
    with open(folder / "a.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([BOTH, *rows])
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows]
    write(folder / "a.jsonl", "\n".join(lines))
    for name in ("a.csv", "a.jsonl"):
        got = read(folder / name, BOTH)
        assert got.texts == [clean(text) for text, label in rows if label >= 0]
        assert got.labels == [label for _, label in rows if label >= 0]
        assert got.unlabelled == [clean(text) for text, label in rows if label < 0]


def test_the_text_column_alone_gives_unlabelled_texts(tmp_path):
    assert read(write(tmp_path / "a.csv", "review\none\ntwo\n"), ("review",)).unlabelled == ["one", "two"]
    path = parquet(tmp_path / "a.parquet", text=["one"], label=[-1])
    assert read(path, ("text",)).unlabelled == ["one"]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ('"pos"', "pos"),
        ('" pos "', "pos"),
        ('"12"', 12),
        ('"012"', "012"),
        ("3", 3),
        ("3.0", 3),
        ("true", "true"),
        ('"' + "9" * 5000 + '"', "9" * 5000),
    ],
)
def test_labels(tmp_path, written, label):
    path = write(tmp_path / "a.jsonl", f'{{"text": "x", "label": {written}}}')
    assert read(path, BOTH).labels == [label]


def test_class_names_of_datasets_metadata(tmp_path):
    info = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    table = pa.table({"text": ["x"], "label": [0]})
    for metadata, names in [(json.dumps(info), ["neg", "pos"]), ("{}", []), ("no json", []), ("[1]", [])]:
        pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet", BOTH).class_names == names


def test_a_parquet_path_that_looks_like_a_partition_adds_no_column(tmp_path):
    (tmp_path / "label=7").mkdir()
    path = parquet(tmp_path / "label=7" / "a.parquet", text=["x"], label=[1])
    assert read(path, BOTH).labels == [1]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.csv.gz"])
def test_an_unknown_extension_lists_the_known_ones(tmp_path, name):
    assert ".parquet, .csv, .jsonl" in message(write(tmp_path / name, "text,label\n"))


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", ""), ("a.csv", "text,label\n\n"), ("a.jsonl", ""), ("a.jsonl", "\n\n")]
)
def test_a_file_without_rows(tmp_path, name, content):
    assert "holds no rows" in message(write(tmp_path / name, content))


def test_a_parquet_file_without_rows(tmp_path):
    path = parquet(tmp_path / "a.parquet", text=pa.array([], pa.string()), label=pa.array([], pa.int64()))
    assert "holds no rows" in message(path)


def test_bytes_that_are_not_utf_8(tmp_path):
    for name, content in (("a.csv", b"text,label\nfine,1\ncaf\xe9,0\n"), ("a.jsonl", b"\n\ncaf\xe9\n")):
        text = message(write(tmp_path / name, content))
        assert f"{name}, line 3: byte 4 is 0xe9, which is not UTF-8" in text
    assert "line 1: byte 1 is 0xff" in message(write(tmp_path / "b.csv", "text,label\na,1".encode("utf-16")))
    column = pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.string())
    text = message(parquet(tmp_path / "a.parquet", text=column, label=[0, 1]))
    assert "row 2: byte 3 of b'caf\\xe9' is not UTF-8" in text


def test_a_missing_column_names_those_present(tmp_path):
    expected = "no column 'label'; the columns are 'text', 'stars'"
    assert expected in message(write(tmp_path / "a.csv", "text,stars\na,1\n"))
    assert expected in message(parquet(tmp_path / "a.parquet", text=["a"], stars=[1]))
    text = message(write(tmp_path / "a.jsonl", '{"text": "a", "label": 1}\n{"text": "a", "stars": 1}\n'))
    assert "line 2: " + expected in text
    assert "more than one column 'text'" in message(write(tmp_path / "b.csv", "text,text,label\na,b,1\n"))


@pytest.mark.parametrize("keep", [0, 3, 50, -20])
def test_a_truncated_parquet_file(tmp_path, keep):
    path = parquet(tmp_path / "a.parquet", text=["a"] * 9, label=[1] * 9)
    assert "not a readable parquet file" in message(write(path, path.read_bytes()[:keep]))


def test_a_damaged_page_or_another_format_under_the_name_of_parquet(tmp_path):
    assert "not a readable parquet file" in message(write(tmp_path / "a.parquet", "text,label\na,1\n" * 9))
    path = tmp_path / "b.parquet"
    table = pa.table({"text": ["some words " * 50] * 500, "label": [1] * 500})
    pq.write_table(table, path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:120] = bytes(116)
    assert "not a readable parquet file" in message(write(path, bytes(content)))


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("text,label\na,1\nb, with a comma,0\n", 3, "3 fields; expected 2: 'text', 'label'"),
        ('text,label\n"two\nlines",1\nshort\n', 4, "1 fields; expected 2"),
        ('text,label\na,1\n"open,0\nb,1\n', 3, "malformed CSV"),
        ('text,label\n"a" b,1\n', 2, "malformed CSV"),
    ],
)
def test_malformed_csv_names_the_line(tmp_path, content, line, problem):
    assert f", line {line}: {problem}" in message(write(tmp_path / "a.csv", content))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"text": "a", "label": 1', "malformed JSON"),
        ("{'text': 'a', 'label': 1}", "malformed JSON"),
        ("[" * 100_000, "malformed JSON"),
        ('["a", 1]', "['a', 1]; expected a JSON object with text, label"),
        ('"a"', "'a'; expected a JSON object"),
    ],
)
def test_malformed_jsonl_names_the_line(tmp_path, row, problem):
    text = message(write(tmp_path / "a.jsonl", f'{{"text": "a", "label": 1}}\n\n{row}\n'))
    assert f", line 3: {problem}" in text and len(text) < 400


@pytest.mark.parametrize(
    ("label", "found"), [("null", "null"), ('" "', "' '"), ("0.5", "0.5"), ("NaN", "nan"), ("[1]", "[1]")]
)
def test_a_label_that_is_none(tmp_path, label, found):
    text = message(write(tmp_path / "a.jsonl", f'{{"text": "a", "label": {label}}}'))
    assert f"line 1: the label is {found}; expected an integer or a string" in text


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("null", "null; expected a string"),
        ("42", "42, of type int; expected a string"),
        ('{"a": 1}', "{'a': 1}, of type dict"),
        ('"<br /> "', "'<br /> '; expected at least one word"),
    ],
)
def test_a_text_that_is_none(tmp_path, written, found):
    text = message(write(tmp_path / "a.jsonl", f'{{"text": {written}, "label": 1}}'))
    assert f"line 1: the text is {found}" in text


def test_half_of_a_surrogate_pair(tmp_path):
    assert "surrogate" in message(write(tmp_path / "a.jsonl", '{"text": "a\\ud800", "label": 1}'))


def test_nulls_and_other_types_in_parquet_and_csv(tmp_path):
    path = tmp_path / "a.parquet"
    assert "row 2: the label is null" in message(parquet(path, text=["a", "b"], label=[1, None]))
    assert "row 2: the text is null" in message(parquet(path, text=["a", None], label=[1, 0]))
    assert "row 1: the text is 5, of type int" in message(parquet(path, text=[5], label=[1]))
    assert "row 1: the text is b'a', of type bytes" in message(parquet(path, text=[b"a"], label=[1]))
    assert "line 3: the label is ''" in message(write(tmp_path / "a.csv", "text,label\na,1\nb,\n"))
    assert "line 2: the text is ''" in message(write(tmp_path / "a.csv", "text,label\n,1\n"))


def test_a_folder_or_nothing_under_the_name_of_a_file(tmp_path):
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert "read" in message(tmp_path / name)
        (tmp_path / name).mkdir()
        assert "read" in message(tmp_path / name)
