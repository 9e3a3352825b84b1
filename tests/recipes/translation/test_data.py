import builtins
import gzip
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spikeseq.recipes.translation import sample as parallel_sample
from spikeseq.recipes.translation.data import DataError, Pairs, ParallelData, load_parallel_data
from spikeseq.recipes.translation.sample import sample_pairs


def numbered(count: int, mark: str = "") -> list[tuple[str, str]]:
    return [(f"Satz {mark}{i}", f"Sentence {mark}{i}") for i in range(count)]


def write(path: Path, content: str | bytes) -> Path:
    """Gzipped where the name says so."""
    raw = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_pairs(
    prefix: Path, rows: list[tuple[str, str]], suffix: str = "", languages: str = "de en"
) -> Path:
    for language, side in zip(languages.split(), zip(*rows, strict=True), strict=True):
        write(prefix.with_name(f"{prefix.name}.{language}{suffix}"), "".join(f"{line}\n" for line in side))
    return prefix


def multi30k(folder: Path) -> Path:
    """The layout of the real one, in three languages, gzipped."""
    for split, count in (("train", 8), ("val", 3), ("test_2016_flickr", 4), ("test_2017_mscoco", 2)):
        rows = [(*pair, f"Phrase {pair[0]}") for pair in numbered(count, split)]
        write_pairs(folder / "raw" / split, rows, ".gz", "de en fr")
    return folder


def failure(source: object, **options) -> str:
    with pytest.raises(DataError) as caught:
        load_parallel_data(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


@pytest.fixture
def small_sample(monkeypatch) -> tuple[list[tuple[str, str]], ...]:
    """What "sample" gives, in a hundredth of its size."""
    splits = sample_pairs(40, 4, 4)
    monkeypatch.setattr(parallel_sample, "sample_pairs", lambda: splits)
    return splits


def test_the_sample_in_both_directions(small_sample):
    train, validation, test = small_sample
    data = load_parallel_data("sample")
    assert (rows(data.train), rows(data.validation), rows(data.test)) == (train, validation, test)
    assert (data.name, data.source_language, data.target_language) == ("sample", "de", "en")
    assert (data.test_split, data.skipped) == ("test", 0)
    back = load_parallel_data("sample", source_language="en", target_language="de")
    assert (back.test.sources, back.test.targets) == (data.test.targets, data.test.sources)
    assert "sample: 'fr', 'en'; expected the languages de and en" in failure("sample", source_language="fr")


def test_the_layout_of_multi30k_and_its_parents(tmp_path):
    folder = multi30k(tmp_path / "multi30k")
    data = load_parallel_data(folder / "raw")
    assert rows(data.train) == numbered(8, "train") and len(data.train) == 8
    assert rows(data.validation) == numbered(3, "val")
    assert rows(data.test) == numbered(4, "test_2016_flickr")
    assert (data.name, data.test_split, data.skipped) == ("multi30k", "test_2016_flickr", 0)
    assert load_parallel_data(folder) == load_parallel_data(str(tmp_path)) == data
    french = {"source_language": "fr", "target_language": "de"}
    other = load_parallel_data(folder, **french, test_split="test_2017_mscoco")
    assert (other.source_language, other.target_language) == ("fr", "de")
    assert other.test_split == "test_2017_mscoco"
    assert rows(other.test) == [(f"Phrase {german}", german) for german, _ in numbered(2, "test_2017_mscoco")]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_split_files(tmp_path, name, suffix):
    for split, count in (("train", 5), (name, 2), ("test", 3)):
        write_pairs(tmp_path / "own" / split, numbered(count, split), suffix)
    data = load_parallel_data(tmp_path / "own")
    splits = (
        Pairs(*map(list, zip(*numbered(n, m), strict=True)))
        for n, m in ((5, "train"), (2, name), (3, "test"))
    )
    assert data == ParallelData(*splits, "own", "de", "en", "test", 0)
    assert load_parallel_data(tmp_path / "own", test_split="test") == data


def test_a_split_that_is_not_there_is_cut_from_training(tmp_path):
    write_pairs(tmp_path / "train", numbered(100))
    write_pairs(tmp_path / "dev", numbered(7, "dev"))
    data = load_parallel_data(tmp_path, test_share=0.2)
    assert rows(data.validation) == numbered(7, "dev")
    assert (len(data.test), len(data.train), data.test_split) == (20, 80, "test")
    assert sorted(rows(data.test) + rows(data.train)) == sorted(numbered(100))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dot", ["", "."])
def test_two_files_are_given_by_their_common_prefix(tmp_path, suffix, dot):
    write_pairs(tmp_path / "my.corpus", numbered(200), suffix)
    write_pairs(tmp_path / "my.corpora", numbered(3), suffix)
    data = load_parallel_data(f"{tmp_path}/my.corpus{dot}")
    assert (len(data.train), len(data.validation), len(data.test)) == (180, 10, 10)
    assert Counter(rows(data.train) + rows(data.validation) + rows(data.test)) == Counter(numbered(200))
    assert (data.name, data.test_split) == ("my.corpus", "test")
    assert data == load_parallel_data(tmp_path / "my.corpus", test_split="test")
    assert data.test != load_parallel_data(tmp_path / "my.corpus", seed=2).test
    assert len(load_parallel_data(tmp_path / "my.corpus", validation_share=0.3, test_share=0.5).train) == 40


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12).map(str), st.integers(0, 2).map(str)), min_size=3, max_size=50),
    st.floats(0.01, 0.5), st.floats(0.01, 0.49), st.integers(0, 99),
)  # fmt: skip
def test_a_cut_is_a_partition_with_no_source_on_two_sides(tmp_path_factory, pairs, validation, test, seed):
    assume(len({source for source, _ in pairs}) >= 3)
    prefix = write_pairs(tmp_path_factory.mktemp("cut") / "a", pairs)
    data = load_parallel_data(prefix, validation_share=validation, test_share=test, seed=seed)
    splits = [data.train, data.validation, data.test]
    assert Counter(pair for split in splits for pair in rows(split)) == Counter(pairs)
    assert all(len(split) for split in splits)
    assert sum(len(set(split.sources)) for split in splits) == len({source for source, _ in pairs})


def test_lines_end_at_the_line_feed_alone(tmp_path):
    odd = [
        "eins\u2028zwei",
        "drei\x0cvier",
        "fünf\x85sechs",
        "sieben\racht",
        "neun\x1czehn",
        "elf\u2029\x0b.",
    ]
    write(tmp_path / "train.de", "\ufeff" + "\n".join(odd) + "\n")
    write(tmp_path / "train.en", "".join(f"  line\t {i} \r\n" for i in range(len(odd))))
    write_pairs(tmp_path / "val", numbered(1))
    write_pairs(tmp_path / "test", numbered(1))
    data = load_parallel_data(tmp_path)
    assert rows(data.train) == [(" ".join(line.split()), f"line {i}") for i, line in enumerate(odd)]
    assert data.train.sources[0] == "eins zwei"


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=8)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(text, text), min_size=1, max_size=8))
def test_no_line_is_shifted_whatever_it_holds(tmp_path_factory, pairs):
    marked = [(f"{i} {german}", f"{i} {english}") for i, (german, english) in enumerate(pairs)]
    folder = tmp_path_factory.mktemp("lines")
    for split in ("train", "val", "test"):
        write_pairs(folder / split, marked)
    test = load_parallel_data(folder).test
    assert rows(test) == [(" ".join(german.split()), " ".join(english.split())) for german, english in marked]


def test_training_pairs_with_an_empty_side_are_left_out_and_counted(tmp_path):
    write_pairs(
        tmp_path / "a",
        [("eins", "one"), ("", "two"), ("drei", " \t"), ("", ""), ("fünf", "five"), ("x", "y")],
    )
    data = load_parallel_data(tmp_path / "a")
    kept = rows(data.train) + rows(data.validation) + rows(data.test)
    assert sorted(kept) == [("eins", "one"), ("fünf", "five"), ("x", "y")] and data.skipped == 3
    write_pairs(tmp_path / "b", [("", "one"), ("zwei", "")])
    assert f"{tmp_path}/b.de: no line has text both here and in {tmp_path}/b.en" in failure(tmp_path / "b")


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_empty_line_to_be_scored_is_an_error_that_names_it(tmp_path, split):
    for each in ("train", "val", "test"):
        write_pairs(tmp_path / each, numbered(4))
    for side in (0, 1):
        bad = [list(pair) for pair in numbered(4)]
        bad[2][side] = "  "
        write_pairs(tmp_path / split, [tuple(pair) for pair in bad])
        assert f"{tmp_path}/{split}.{('de', 'en')[side]}, line 3: empty; expected a" in failure(tmp_path)


def test_files_of_unequal_length_give_the_counts_and_the_first_line_alone(tmp_path):
    write(tmp_path / "a.de", "1\n2\n3\n")
    write(tmp_path / "a.en", "1\n2\n3\n4\n5")
    text = failure(tmp_path / "a")
    assert f"3 lines in {tmp_path}/a.de, 5 in {tmp_path}/a.en" in text
    assert f"line 4 of {tmp_path}/a.en has no partner" in text
    assert f"line 4 of {tmp_path}/a.en" in failure(tmp_path / "a", source_language="en", target_language="de")
    write(tmp_path / "a.de", "1\n2\n3\n4\n5\n\n")
    assert f"line 6 of {tmp_path}/a.de has no partner" in failure(tmp_path / "a")


@pytest.mark.parametrize("content", ["", "\ufeff"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_empty_file(tmp_path, content, suffix):
    write_pairs(tmp_path / "a", numbered(3), suffix)
    path = write(tmp_path / f"a.en{suffix}", content)
    assert f"{path}: empty; expected one sentence a line" in failure(tmp_path / "a")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_is_not_utf_8(tmp_path, suffix):
    write_pairs(tmp_path / "a", numbered(3), suffix)
    path = write(tmp_path / f"a.de{suffix}", "eins\nzwei\ncaf\xe9\n".encode("latin-1"))
    assert f"{path}, line 3: byte 4 is 0xe9, which is not UTF-8" in failure(tmp_path / "a")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "plain", "header"])
def test_a_broken_gzip(tmp_path, damage):
    write_pairs(tmp_path / "a", numbered(500), ".gz")
    path = tmp_path / "a.de.gz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "truncated": whole[:-20],
            "flipped": whole[:middle]
            + bytes(byte ^ 0xFF for byte in whole[middle : middle + 9])
            + whole[middle + 9 :],
            "plain": b"Satz\n",
            "header": whole[:5],
        }[damage]
    )
    assert f"{path}: a damaged or truncated gzip file (" in failure(tmp_path / "a")


def test_a_wrong_language_pair_lists_the_files_there_are(tmp_path):
    folder = multi30k(tmp_path / "multi30k")
    text = failure(folder, target_language="nl")
    assert (
        f"{folder}/raw: no train.nl, gzipped or not; there is train.de.gz, train.en.gz, train.fr.gz" in text
    )
    (folder / "raw" / "val.en.gz").unlink()
    assert "no val.en, gzipped or not; there is val.de.gz, val.fr.gz" in failure(folder)
    write_pairs(tmp_path / "a", numbered(3))
    assert "no a.fr, gzipped or not; there is a.de, a.en" in failure(tmp_path / "a", source_language="fr")
    assert "both 'de'; expected two" in failure(folder, target_language="de")


def test_an_unknown_test_split_lists_the_known_ones(tmp_path):
    folder = multi30k(tmp_path / "multi30k")
    text = failure(folder, test_split="test_2018_flickr")
    assert f"{folder}/raw: no test split 'test_2018_flickr'" in text
    assert text.endswith("there is test_2016_flickr, test_2017_mscoco")
    assert "no test split 'val'" in failure(folder, test_split="val")
    (folder / "raw" / "test_2016_flickr.de.gz").unlink()
    (folder / "raw" / "test_2016_flickr.en.gz").unlink()
    assert "no test split 'test_2016_flickr'; there is test_2017_mscoco" in failure(folder)
    write_pairs(tmp_path / "a", numbered(9))
    for source in ("sample", "hub", tmp_path / "a"):
        assert "no test split 'test_2017'; there is" in failure(source, test_split="test_2017")


def test_two_files_for_one_part(tmp_path):
    for split in ("train", "val", "dev", "test"):
        write_pairs(tmp_path / split, numbered(3))
    assert f"{tmp_path}: both val and dev; expected one of the two" in failure(tmp_path)
    write(tmp_path / "train.en.gz", "x")
    assert f"{tmp_path}: both train.en, train.en.gz; expected one" in failure(tmp_path)


def test_a_source_that_is_not_there_lists_what_is(tmp_path):
    write_pairs(tmp_path / "corpus", numbered(3))
    text = failure(tmp_path / "corpse")
    assert f"'{tmp_path}/corpse': no such folder, nor such files with .de and .en" in text
    assert text.endswith(f"{tmp_path} holds corpus.de, corpus.en")
    assert f"{tmp_path} holds corpus.de" in failure(tmp_path / "no" / "deep" / "path")
    assert "one file; expected what two have in common" in failure(tmp_path / "corpus.de")
    assert (
        f"{tmp_path}: no training files; expected train.de and train.en; the folder holds corpus"
        in failure(tmp_path)
    )
    (tmp_path / "empty").mkdir()
    assert "the folder holds nothing" in failure(tmp_path / "empty")
    assert "a" * 30 in failure("a" * 5000)
    failure("a\0b")


def test_what_cannot_be_read(tmp_path):
    write_pairs(tmp_path / "a", numbered(3))
    (tmp_path / "a.en").unlink()
    (tmp_path / "a.en").mkdir()
    assert f"{tmp_path}/a.en: cannot be read" in failure(tmp_path / "a")


def test_too_few_sentences_to_cut_splits_from(tmp_path):
    write_pairs(tmp_path / "a", [("eins", "one"), ("eins", "one"), ("zwei", "two")])
    assert "a: different sentences of the source language: 2; expected 3 or more" in failure(tmp_path / "a")
    write_pairs(tmp_path / "train", [("eins", "one"), ("eins", "one"), ("zwei", "two")])
    write_pairs(tmp_path / "val", numbered(2))
    assert rows(load_parallel_data(tmp_path).train) == [("eins", "one")] * 2


@pytest.mark.parametrize(
    ("validation", "test"), [(0, 0.1), (0.1, 1), (-0.1, 0.5), (0.5, 0.5), (float("nan"), 0.1)]
)
def test_impossible_shares(validation, test):
    text = failure("sample", validation_share=validation, test_share=test)
    assert f"validation_share={validation}, test_share={test}: expected shares above 0" in text


def test_limit_keeps_a_part_of_each_split_and_more_for_more(tmp_path):
    folder = multi30k(tmp_path / "multi30k")
    full, some, more = (load_parallel_data(folder, limit=limit) for limit in (None, 2, 4))
    assert [len(split) for split in (some.train, some.validation, some.test)] == [2, 2, 2]
    assert [len(split) for split in (more.train, more.validation, more.test)] == [4, 3, 4]
    assert set(rows(some.train)) < set(rows(more.train)) < set(rows(full.train))
    assert some == load_parallel_data(folder, limit=2)
    assert full == load_parallel_data(folder, limit=100)
    assert "limit=0: expected at least 1" in failure(folder, limit=0)


def hub(monkeypatch, load_dataset) -> None:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


def test_the_hub(monkeypatch):
    parts = {
        "train": {"de": ["Ein  Hund.", "", "Zwei"], "en": ["A dog.\n", "x", None]},
        "validation": {"de": ["Eine Katze."], "en": ["A cat."]},
        "test": {"de": ["Ein Pferd."], "en": ["A horse."]},
    }
    hub(monkeypatch, lambda name: parts if name == "bentrevett/multi30k" else None)
    data = load_parallel_data("hub")
    expected = (
        Pairs(["Ein Hund."], ["A dog."]),
        Pairs(["Eine Katze."], ["A cat."]),
        Pairs(["Ein Pferd."], ["A horse."]),
    )
    assert data == ParallelData(*expected, "bentrevett/multi30k", "de", "en", "test_2016_flickr", 2)
    assert load_parallel_data("hub", source_language="en", target_language="de").test.sources == ["A horse."]
    parts["test"]["en"] = [""]
    assert "bentrevett/multi30k test.en, line 1: empty" in failure("hub")


def test_the_hub_without_a_network_or_package(monkeypatch):
    def offline(name):
        raise ConnectionError("Couldn't reach\nthe hub")

    hub(monkeypatch, offline)
    text = failure("hub")
    assert "cannot be fetched" in text and "folder with train.de and train.en" in text
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "datasets":
            raise ModuleNotFoundError("No module named 'datasets'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'spikeseq[recipes]'" in failure("hub")


def test_a_local_path_under_the_name_of_a_source(tmp_path, monkeypatch, small_sample):
    write_pairs(tmp_path / "sample", numbered(30))
    monkeypatch.chdir(tmp_path)
    assert len(load_parallel_data("./sample").train) == 26
    assert len(load_parallel_data("sample").train) == 40
