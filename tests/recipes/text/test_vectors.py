"""`spikeseq vectors`: from texts or a run to a file, and from the file into a training."""

import json

import pytest
import torch
from recipe_case import quick, refused, rows, sets, write_rows

from spikeseq.recipes import runs
from spikeseq.tokenizers import load_vectors, vector_words

pytestmark = pytest.mark.usefixtures("cache")
SMALL = ["data.tokenizer=whitespace", "data.vector_size=8", "data.min_frequency=1", "data.vector_workers=1"]


def test_vectors_of_texts_start_a_training_on_others(cli, tmp_path):
    pytest.importorskip("torchtext.vocab")
    write_rows(tmp_path / "set" / "train.csv")
    write_rows(tmp_path / "set" / "test.csv", [("a secret", "good"), ("another", "bad")])
    write_rows(tmp_path / "set" / "unlabelled.csv", [(f"only here {i}", "-1") for i in range(9)])
    file = tmp_path / "vectors.txt"
    done = cli("vectors", tmp_path / "set", "--out", file, *sets(SMALL), "--json")
    words = vector_words(file)
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"words": len(words), "size": 8, "file": str(file)}
    assert "superb" in words and "only" in words and "secret" not in words
    others = write_rows(tmp_path / "others.csv", rows(6))
    settings = quick(data__vectors=file, data__min_frequency=1, data__vector_words="true", train__epochs=1)
    assert cli("train", "imdb", "--data", others, *sets(settings), "--out", tmp_path / "run").code == 0
    opened = runs.load(tmp_path / "run")
    assert "only" in opened.vocab and opened.vocab.frequencies["only"] == 0


def test_vectors_are_written_beside_their_texts_again_but_not_over_these(cli, tmp_path):
    content = "text,label\n" + "".join(f"good film {i},1\nbad film {i},0\n" for i in range(20))
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(content)
    (tmp_path / "link.txt").symlink_to(tmp_path / "test.csv")
    for _ in range(2):
        done = cli("vectors", tmp_path, "--out", tmp_path / "x.txt", *sets(SMALL))
        assert done.code == 0 and (tmp_path / "x.txt").stat().st_size, done.err
    for name in ("train.csv", "test.csv", "link.txt"):
        line = refused(cli("vectors", tmp_path, "--out", tmp_path / name, *sets(SMALL)))
        assert line == f"{tmp_path / name} is read by this command; expected the name of another file"
        assert (tmp_path / "train.csv").read_text() == (tmp_path / "test.csv").read_text() == content


def test_vectors_of_a_run_are_its_embedding(cli, text_runs, tmp_path):
    pytest.importorskip("torchtext.vocab")
    file = tmp_path / "vectors.txt.gz"
    assert cli("vectors", text_runs / "snn", "--out", file).code == 0
    opened = runs.load(text_runs / "snn")
    loaded, found = load_vectors(file, opened.vocab)
    assert found == 1
    assert torch.allclose(loaded[1:], opened.model.embedding.weight.detach()[1:], rtol=1e-5, atol=0)


def test_what_has_no_vectors_is_refused(cli, text_runs, tmp_path):
    file = tmp_path / "vectors.txt"
    assert "model 'bow' has no embedding of words" in refused(
        cli("vectors", text_runs / "bow", "--out", file)
    )
    text = refused(cli("vectors", text_runs / "snn", "--out", file, "--set", "data.vector_size=9"))
    assert "is a run, whose vectors are trained; leave --set out" in text
    for key in ("train.epochs=2", "data.vectors=null", "data.kept_tokens=9", "data.vector_scale=2.0"):
        text = refused(cli("vectors", "sample", "--out", file, "--set", key))
        assert f"{key.split('=')[0]} has no effect on word vectors" in text
    assert "no such file or folder" in refused(cli("vectors", tmp_path / "no", "--out", file))
    assert "there is no folder" in refused(cli("vectors", "sample", "--out", tmp_path / "no" / "x.txt"))
    assert not file.exists()
