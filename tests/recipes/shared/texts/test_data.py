import builtins
import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spikeseq.recipes.shared.texts.data import DataError, TextData, load_text_data
from spikeseq.recipes.shared.texts.sample import sample_splits
from spikeseq.recipes.shared.texts.splits import TextSplit, validation_split


def write_csv(path: Path, rows: list[tuple[str, object]], header: str = "text,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(f"{text},{label}" for text, label in rows)]), encoding="utf-8")
    return path


def numbered(per_class: dict[object, int], mark: str = "t") -> list[tuple[str, object]]:
    return [(f"{mark} {label} {i}", label) for label, count in per_class.items() for i in range(count)]


def failure(source: object, **options) -> str:
    with pytest.raises(DataError) as caught:
        load_text_data(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pairs(split: TextSplit) -> list[tuple[str, int]]:
    return list(zip(split.texts, split.labels, strict=True))


def test_the_sample():
    data = load_text_data("sample")
    train, test = sample_splits()
    assert data == TextData(TextSplit(*train), TextSplit(*test), [], ["neg", "pos"], "sample")
    small = load_text_data("sample", limit=50)
    assert Counter(small.train.labels) == Counter(small.test.labels) == {0: 25, 1: 25}
    assert not set(small.train.texts) & set(small.test.texts)


def test_a_validation_file_is_the_validation_split(tmp_path):
    write_csv(tmp_path / "train.csv", numbered({"a": 9, "b": 9}))
    write_csv(tmp_path / "validation.csv", [("v", "b"), ("hm", -1)])
    data = load_text_data(tmp_path)
    splits = data.splits(0.1, 1)
    assert splits["validation"] == TextSplit(["v"], [1]) and data.unlabelled == ["hm"]
    assert splits["train"] == data.train and Counter(data.train.labels) == {0: 7, 1: 7}
    (tmp_path / "validation.csv").unlink()
    splits = load_text_data(tmp_path).splits(0.3, 1)
    assert (splits["train"], splits["validation"]) == validation_split(data.train, 0.3, 1)
    assert splits["test"] == data.test


def test_a_file_of_everything_goes_into_folds(tmp_path):
    rows = numbered({"a": 9, "b": 12})
    write_csv(tmp_path / "all.csv", rows)
    tested = []
    for fold in (1, 2, 3):
        data = load_text_data(tmp_path, folds=3, fold=fold)
        assert Counter(data.test.labels) == {0: 3, 1: 4} and data.name == tmp_path.name
        assert sorted(data.train.texts + data.test.texts) == sorted(text for text, _ in rows)
        tested += data.test.texts
    assert sorted(tested) == sorted(text for text, _ in rows)
    assert load_text_data(tmp_path / "all.csv", folds=3, fold=3).test == data.test
    assert load_text_data(tmp_path, folds=3, fold=3, seed=2).test != data.test


def test_folds_that_cannot_be(tmp_path):
    path = write_csv(tmp_path / "all.csv", numbered({"a": 9, "b": 3}))
    assert "data.fold=4: expected 1 to 3, as data.folds=3" in failure(path, folds=3, fold=4)
    assert f"{path}: different texts of class 'b': 3; expected 4 for data.folds=4" in failure(path, folds=4)
    for name in ("validation", "test"):
        file = write_csv(tmp_path / f"{name}.csv", [("x", "a")])
        assert f"{file}: with a split of its own goes no data.folds=3" in failure(tmp_path, folds=3)


def parquet_folder(folder: Path) -> Path:
    """The layout of IMDB: parquet files with the classes' names in their metadata."""
    folder.mkdir(parents=True)
    info = {"info": {"features": {"label": {"names": ["neg", "pos"]}}}}
    for name, labels in {"train": [0] * 6 + [1] * 6, "test": [0, 1, 1], "unsupervised": [-1] * 5}.items():
        table = pa.table({"text": [f"{name}<br />{i}" for i in range(len(labels))], "label": labels})
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def test_a_folder_of_parquet_files_and_its_parent(tmp_path):
    folder = parquet_folder(tmp_path / "data" / "imdb")
    data = load_text_data(folder)
    assert data.name == "imdb" and data.classes == ["neg", "pos"]
    assert data.train.labels == [0] * 6 + [1] * 6 and data.train.texts[0] == "train 0"
    assert data.test == TextSplit(["test 0", "test 1", "test 2"], [0, 1, 1])
    assert data.unlabelled == [f"unsupervised {i}" for i in range(5)]
    assert load_text_data(str(folder.parent)) == data


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_folder_of_text_files(tmp_path, suffix):
    rows = {"train": [("a", "yes"), ("b", "no"), ("c", -1)], "test": [("d", "no"), ("e", -1)]}
    for name, content in rows.items():
        if suffix == ".csv":
            write_csv(tmp_path / "set" / f"{name}.csv", content)
        else:
            (tmp_path / "set").mkdir(exist_ok=True)
            lines = [json.dumps({"text": text, "label": label}) for text, label in content]
            (tmp_path / "set" / f"{name}.jsonl").write_text("\n".join(lines))
    write_csv(tmp_path / "set" / "unlabelled.csv", [("f", 7)])
    data = load_text_data(tmp_path / "set")
    assert data == TextData(
        TextSplit(["a", "b"], [1, 0]), TextSplit(["d"], [0]), ["c", "e", "f"], ["no", "yes"], "set"
    )


def test_one_file_is_split_by_class_and_seed(tmp_path):
    rows = numbered({"c": 40, "a": 20, "b": 5})
    path = write_csv(tmp_path / "mine.csv", rows, header="review,kind")
    options = {"text_column": "review", "label_column": "kind"}
    data = load_text_data(path, **options)
    assert data.name == "mine" and data.classes == ["a", "b", "c"]
    assert Counter(data.train.labels) == {0: 16, 1: 4, 2: 32}
    assert Counter(data.test.labels) == {0: 4, 1: 1, 2: 8}
    written = [(text, data.classes.index(label)) for text, label in rows]
    assert sorted(pairs(data.train) + pairs(data.test)) == sorted(written)
    assert load_text_data(path, **options) == data
    assert load_text_data(path, **options, seed=2).test != data.test
    assert Counter(load_text_data(path, **options, test_share=0.5).test.labels) == {0: 10, 1: 2, 2: 20}


def test_integer_classes_are_sorted_as_numbers_and_before_strings(tmp_path):
    path = write_csv(tmp_path / "a.csv", numbered({10: 2, 9: 2, -2: 2, "x": 2, -1: 2}))
    assert load_text_data(path).classes == ["-2", "9", "10", "x"]


def test_a_folder_without_a_test_file_is_split(tmp_path):
    write_csv(tmp_path / "train.csv", numbered({0: 10, 1: 10}))
    assert Counter(load_text_data(tmp_path).test.labels) == {0: 2, 1: 2}


def test_limit_keeps_a_stratified_part_and_more_rows_for_more(tmp_path):
    write_csv(tmp_path / "train.csv", numbered({0: 300, 1: 90, 2: 3}))
    write_csv(tmp_path / "test.csv", numbered({0: 50, 1: 50}, "u"))
    write_csv(tmp_path / "unlabelled.csv", numbered({-1: 99}, "v"))
    full, some, more = (load_text_data(tmp_path, limit=limit) for limit in (None, 40, 80))
    assert Counter(some.train.labels) == {0: 28, 1: 10, 2: 2}
    assert Counter(some.test.labels) == {0: 20, 1: 20} and len(set(some.unlabelled)) == 40
    assert set(some.train.texts) < set(more.train.texts) < set(full.train.texts)
    assert some == load_text_data(tmp_path, limit=40) != load_text_data(tmp_path, limit=40, seed=2)
    assert some.classes == full.classes
    assert full == load_text_data(tmp_path, limit=1000)


def test_too_few_texts_to_split(tmp_path):
    with pytest.raises(DataError, match="class 1: 1; expected 2"):
        validation_split(TextSplit(["a", "b", "c", "c"], [0, 0, 1, 1]))
    path = write_csv(tmp_path / "a.csv", numbered({"good": 5, "bad": 1}))
    assert f"{path}: different texts of class 'bad': 1; expected 2" in failure(path)


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_share_outside_0_to_1(share):
    with pytest.raises(DataError, match=r"share=.*between 0 and 1"):
        validation_split(TextSplit(["a", "b"], [0, 0]), share)
    assert f"test_share={share}" in failure("sample", test_share=share)


def test_a_limit_too_small(tmp_path):
    path = write_csv(tmp_path / "a.csv", numbered({0: 9, 1: 9, 2: 9}))
    assert "limit=3: expected" in failure("sample", limit=3)
    assert "limit=5: expected two rows for each of the 3 classes" in failure(path, limit=5)


def test_a_path_that_is_not_there_lists_what_is(tmp_path):
    write_csv(tmp_path / "reviews.csv", [])
    text = failure(tmp_path / "review.csv")
    assert f"{tmp_path / 'review.csv'}: no such file or folder; {tmp_path} holds reviews.csv" in text
    assert f"{tmp_path} holds reviews.csv" in failure(tmp_path / "no" / "deep" / "path")
    assert "holds nothing, as it is a file" in failure(tmp_path / "reviews.csv" / "x")
    assert "a" * 30 in failure("a" * 5000)
    failure("a\0b")


def test_a_folder_without_a_training_file_lists_its_content(tmp_path):
    assert "the folder holds nothing" in failure(tmp_path)
    for i in range(15):
        (tmp_path / f"f{i:02}.txt").touch()
    text = failure(tmp_path)
    assert "expected one of train.parquet, train.csv, train.jsonl" in text
    assert "f00.txt, f01.txt" in text and "and 3 more" in text


def test_two_files_for_one_part(tmp_path):
    write_csv(tmp_path / "train.csv", numbered({0: 2, 1: 2}))
    (tmp_path / "train.jsonl").touch()
    assert "both train.csv and train.jsonl; expected one" in failure(tmp_path)
    (tmp_path / "train.jsonl").rename(tmp_path / "unlabelled.csv")
    (tmp_path / "unsupervised.csv").touch()
    assert "both unsupervised.csv and unlabelled.csv" in failure(tmp_path)


def test_fewer_than_two_classes(tmp_path):
    path = write_csv(tmp_path / "a.csv", numbered({"pos": 9, -1: 3}))
    assert f"{path}: one class only, 'pos'; expected two or more" in failure(path)
    assert "no labelled row; expected two or more" in failure(write_csv(path, numbered({-1: 3})))


def test_test_labels_must_occur_in_training(tmp_path):
    write_csv(tmp_path / "train.csv", numbered({"a": 2, "b": 2}))
    write_csv(tmp_path / "test.csv", numbered({"a": 2, "c": 1}))
    text = failure(tmp_path)
    assert "test.csv: label 'c'; expected one that" in text and text.endswith("has: a, b")
    write_csv(tmp_path / "test.csv", numbered({-1: 2}))
    assert "test.csv: no labelled row" in failure(tmp_path)


class HubSplit(dict):
    @property
    def features(self):
        return {"label": SimpleNamespace(names=["neg", "pos"])}


def hub(monkeypatch, load_dataset) -> None:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


def test_the_hub(monkeypatch):
    parts = {
        "train": HubSplit(text=["bad<br />film", "good"], label=[0, 1]),
        "test": HubSplit(text=["fine"], label=[1]),
        "unsupervised": HubSplit(text=["hm"], label=[-1]),
    }
    hub(monkeypatch, lambda name: parts if name == "stanfordnlp/imdb" else None)
    data = load_text_data("hub")
    assert data.train == TextSplit(["bad film", "good"], [0, 1]) and data.test == TextSplit(["fine"], [1])
    assert (data.unlabelled, data.classes, data.name) == (["hm"], ["neg", "pos"], "stanfordnlp/imdb")


def test_the_hub_without_a_network(monkeypatch):
    def offline(name):
        raise ConnectionError("Couldn't reach\nthe hub")

    hub(monkeypatch, offline)
    text = failure("hub")
    assert "cannot be fetched" in text and "folder with train.parquet and test.parquet" in text


@pytest.mark.parametrize(("package", "source"), [("datasets", "hub"), ("pyarrow", "a.parquet")])
def test_a_missing_package_names_the_extra(monkeypatch, tmp_path, package, source):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}")
        return real(name, *args, **kwargs)

    (tmp_path / "a.parquet").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'spikeseq[recipes]'" in failure(source)


def test_a_local_path_under_the_name_of_a_source(tmp_path, monkeypatch):
    write_csv(tmp_path / "sample" / "train.csv", numbered({0: 4, 1: 4}))
    monkeypatch.chdir(tmp_path)
    assert load_text_data("./sample").classes == ["0", "1"]
    assert load_text_data("sample").classes == ["neg", "pos"]
