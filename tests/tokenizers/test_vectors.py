import gzip
import hashlib
import os
import ssl
import subprocess
import sys

import pytest
import torch

from spikeseq.tokenizers import Vocab, load_vectors, save_vectors, train_vectors, vector_words, vectorfile

GLOVE = "the 0.1 0.2 0.3 0.4\nfilm -1 0 1 2\nprix\u00a0noir 5 5 5 5\nüber 1e-1 0 0 -2.5\n"


@pytest.fixture
def vocab():
    return Vocab.build([["the", "the", "film", "über", "zebra", "zoo"]], specials=["<pad>", "<unk>", "<eos>"])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user's cache folder of the test's own."""
    monkeypatch.delenv("SPIKESEQ_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))
    return tmp_path / "home-cache" / "spikeseq" / "vectors"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "data").mkdir()

    def write(content, name="glove.txt"):
        path = tmp_path / "data" / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


class TestSave:
    @pytest.mark.parametrize("name", ["kept.txt", "kept.txt.gz"])
    def test_what_is_saved_is_loaded(self, vocab, tmp_path, name):
        pytest.importorskip("torchtext.vocab")
        rows = torch.randn(len(vocab), 5, generator=torch.Generator().manual_seed(0)) * 1e-3
        rows[vocab.pad_id] = 0
        path = tmp_path / name
        save_vectors(path, vocab, rows)
        loaded, found = load_vectors(path, vocab)
        assert found == 1
        assert torch.allclose(loaded, rows, rtol=1e-5, atol=0)
        assert vector_words(path) == list(vocab)[1:]
        first = path.read_bytes()
        save_vectors(path, vocab, rows)
        assert path.read_bytes() == first
        assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == [name]

    def test_gensim_reads_it(self, vocab, tmp_path):
        models = pytest.importorskip("gensim.models")
        rows = torch.arange(4.0 * len(vocab)).view(-1, 4)
        save_vectors(tmp_path / "kept.txt", vocab, rows)
        read = models.KeyedVectors.load_word2vec_format(str(tmp_path / "kept.txt"))
        assert read["über"].tolist() == rows[vocab["über"]].tolist() and len(read) == len(vocab) - 1

    @pytest.mark.parametrize(
        ("tokens", "rows", "message"),
        [
            (["a", "b"], torch.zeros(3, 4), "rows has 3 rows; the vocabulary has 2 tokens"),
            (["a", "b"], torch.zeros(2, 2), r"shape \(2, 2\) for 2 words; expected a row for each, of 3"),
            (["<pad>"], torch.zeros(1, 4), r"shape \(0, 4\) for 0 words"),
            (["a", "b c"], torch.zeros(2, 4), "'b c' cannot stand in a file"),
            (["a", ""], torch.zeros(2, 4), "'' cannot stand in a file"),
            (["a", "b"], torch.tensor([[1.0] * 4, [1, 2, float("nan"), 3]]), "'b' has numbers that are not"),
        ],
        ids=["rows", "dimension", "no words", "space", "empty", "nan"],
    )
    def test_refusals(self, tmp_path, tokens, rows, message):
        with pytest.raises(ValueError, match=message):
            save_vectors(tmp_path / "kept.txt", Vocab(tokens), rows)
        assert not list(tmp_path.iterdir())


class TestLoad:
    @pytest.fixture(autouse=True)
    def needs_torchtext(self):
        pytest.importorskip("torchtext.vocab")

    def test_rows_stand_in_the_order_of_the_vocabulary(self, vocab, write):
        rows, found = load_vectors(write(GLOVE), vocab)
        assert rows.shape == (len(vocab), 4)
        assert rows.dtype == torch.float32
        assert found == pytest.approx(3 / 5)  # the, film, über of the five words; specials are not counted
        assert torch.equal(rows[vocab["film"]], torch.tensor([-1.0, 0.0, 1.0, 2.0]))
        assert torch.equal(rows[vocab["über"]], torch.tensor([0.1, 0.0, 0.0, -2.5]))
        assert torch.equal(rows[vocab.pad_id], torch.zeros(4))
        for word in ("zebra", "zoo", "<unk>", "<eos>"):
            assert rows[vocab[word]].abs().min() > 0

    def test_words_not_found_get_noise_of_the_same_spread(self, write):
        words = [f"w{n}" for n in range(3000)]
        values = torch.randn(300, 8, generator=torch.Generator().manual_seed(0)) * 0.25
        text = "".join(f"w{n} {' '.join(map(str, row))}\n" for n, row in enumerate(values.tolist()))
        vocab = Vocab(words)
        path = write(text)
        rows, found = load_vectors(path, vocab, generator=torch.Generator().manual_seed(1))
        assert found == pytest.approx(0.1)
        assert torch.allclose(rows[:300], values)
        assert float(rows[300:].std()) == pytest.approx(float(values.std()), rel=0.03)
        assert abs(float(rows[300:].mean())) < 0.01
        again, _ = load_vectors(path, vocab, generator=torch.Generator().manual_seed(1))
        assert torch.equal(rows, again)
        other, _ = load_vectors(path, vocab, generator=torch.Generator().manual_seed(2))
        assert torch.equal(rows[:300], other[:300])
        assert not torch.equal(rows[300:], other[300:])

    def test_scale_sets_the_standard_deviation(self, vocab, write):
        path = write(GLOVE)
        plain, _ = load_vectors(path, vocab)
        rows, _ = load_vectors(path, vocab, scale=0.5)
        words = [vocab[word] for word in ("the", "film", "über")]
        assert float(rows[words].std(correction=0)) == pytest.approx(0.5)
        assert torch.allclose(rows[words] / rows[words][1, 3], plain[words] / plain[words][1, 3])
        for scale in (0.0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="must be a positive number"):
                load_vectors(path, vocab, scale=scale)
        with pytest.raises(ValueError, match="no spread"):
            load_vectors(write("the 0 0 0\n"), vocab, scale=1.0)

    def test_a_special_in_the_file_gets_its_row_but_is_not_counted(self, vocab, write):
        rows, found = load_vectors(write("<unk> 1 2 3\n<pad> 4 5 6\nthe 7 8 9\n"), vocab)
        assert found == pytest.approx(1 / 5)
        assert rows[vocab.unk_id].tolist() == [1, 2, 3]
        assert rows[vocab.pad_id].tolist() == [0, 0, 0]

    def test_a_word2vec_header_is_no_word(self, vocab, write):
        with_header, found = load_vectors(write("4 4\n" + GLOVE, "w2v.txt"), vocab)
        without, _ = load_vectors(write(GLOVE), vocab)
        words = [vocab[word] for word in ("the", "film", "über")]
        assert found == pytest.approx(3 / 5)
        assert torch.equal(with_header[words], without[words])
        with pytest.raises(ValueError, match="promises 9 rows, but there are 4"):
            load_vectors(write("9 4\n" + GLOVE, "short.txt"), vocab)

    def test_gzip(self, vocab, write):
        data = gzip.compress(GLOVE.encode())
        assert load_vectors(write(data, "glove.txt.gz"), vocab)[1] == pytest.approx(3 / 5)
        for damaged in (data[:-12], b"not gzip"):
            with pytest.raises(ValueError, match="damaged or cut off"):
                load_vectors(write(damaged, "glove.txt.gz"), vocab)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "holds no word vectors"),
            ("0 4\n", "holds no word vectors"),
            ("the 1 2 3\nfilm 1 2\n", "line 2: 2 numbers after the word, but 3"),
            ("the 1 2 3\n\nfilm 1 2 3\n", "line 2: 0 numbers"),
            ("the\t1\t2\t3\n", "line 1: 0 numbers after the word; expected a word and at least 3"),
            ("the 1 2\n", "line 1: 2 numbers"),
            (b"the 1 2 3\nf\xfclm 1 2 3\n", "line 2: not UTF-8"),
            ("the 1 2 x\n", "expected a finite number"),
            ("the 1 2 nan\n", "expected a finite number"),
            ("der 1 2 3\n", r"none of the vocabulary's words \(such as 'the'\)"),
            ("<unk> 1 2 3\n", "none of the vocabulary's words"),
        ],
    )
    def test_wrong_files(self, vocab, write, home, content, message):
        path = write(content)
        with pytest.raises(ValueError, match=message):
            load_vectors(path, vocab)
        assert not [entry for entry in home.iterdir() if entry.is_dir()]  # no half-made work is left

    def test_no_file(self, vocab, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"none\.txt"):
            load_vectors(tmp_path / "none.txt", vocab)

    def test_the_cache_is_used_and_is_not_beside_the_file(self, vocab, write, home, monkeypatch):
        path = write(GLOVE)
        first, _ = load_vectors(path, vocab, generator=torch.Generator().manual_seed(0))
        assert [entry.name for entry in path.parent.iterdir()] == ["glove.txt"]
        assert len(list(home.glob("glove.txt-*.pt"))) == 1
        monkeypatch.setattr(vectorfile, "_parse", lambda *_: pytest.fail("parsed again"))
        again, _ = load_vectors(path, vocab, generator=torch.Generator().manual_seed(0))
        assert torch.equal(first, again)

    def test_the_cache_is_where_that_of_kernels_is(self, vocab, write, home, tmp_path, monkeypatch):
        monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "mine"))
        load_vectors(write(GLOVE), vocab)
        assert len(list((tmp_path / "mine" / "vectors").glob("glove.txt-*.pt"))) == 1
        assert not home.exists()

    def test_a_given_cache_folder_is_the_only_one(self, vocab, write, home, tmp_path):
        load_vectors(write(GLOVE), vocab, cache=tmp_path / "mine" / "here")
        assert len(list((tmp_path / "mine" / "here").iterdir())) == 1
        assert not home.exists()

    def test_a_changed_file_is_read_anew(self, vocab, write):
        path = write(GLOVE)
        os.utime(path, ns=(1, 1))
        load_vectors(path, vocab)
        path = write(GLOVE.replace("film -1", "film -9"))
        os.utime(path, ns=(1, 1))  # as rsync, or a restore
        assert load_vectors(path, vocab)[0][vocab["film"], 0] == -9

    def test_a_damaged_cache_is_made_again(self, vocab, write, home):
        path = write(GLOVE)
        load_vectors(path, vocab)
        (kept,) = home.iterdir()
        whole = kept.read_bytes()
        for data in (b"", b"garbage", whole[: len(whole) // 2]):
            kept.write_bytes(data)
            assert load_vectors(path, vocab)[1] == pytest.approx(3 / 5)
            assert kept.stat().st_size > len(whole) // 2

    def test_nothing_is_run_from_a_cache_file(self, vocab, write, home, tmp_path):
        path = write(GLOVE)
        load_vectors(path, vocab)
        (kept,) = home.iterdir()
        torch.save(Trap(tmp_path / "trapped"), kept)
        assert load_vectors(path, vocab)[1] == pytest.approx(3 / 5)
        assert not (tmp_path / "trapped").exists()

    def test_a_cache_that_cannot_be_written_is_done_without(self, vocab, write, tmp_path, monkeypatch):
        blocked = tmp_path / "a-file"
        blocked.write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
        assert load_vectors(write(GLOVE), vocab)[1] == pytest.approx(3 / 5)

    def test_certificates_are_still_checked_afterwards(self, vocab, write):
        before = ssl._create_default_https_context
        load_vectors(write(GLOVE), vocab)
        assert ssl._create_default_https_context is before

    def test_without_torchtext_the_error_says_what_to_install(self, vocab, write, monkeypatch):
        monkeypatch.setitem(sys.modules, "torchtext.vocab", None)
        with pytest.raises(ImportError, match=r"pip install 'spikeseq\[torchtext\]'"):
            load_vectors(write(GLOVE), vocab)


class Trap:
    """Unpickling it creates a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# Sentences in which "cat" and "dog" stand in the same places, and "red" and "blue" in others.
PETS = [
    f"the {pet} {verb} at home today".split() for pet in ("cat", "dog") for verb in ("ate", "slept", "ran")
]
PAINT = [
    f"we {verb} a {hue} wall outside".split() for hue in ("red", "blue") for verb in ("paint", "see", "build")
]
CORPUS = (PETS + PAINT) * 40

REPEAT = """
import hashlib
from spikeseq.tokenizers import Vocab, train_vectors
corpus = [["a", "b", "c", "d"], ["b", "d", "e"]] * 50
rows, _ = train_vectors(corpus, Vocab.build(corpus), dim=8, epochs=2, seed=3)
print(hashlib.sha256(rows.numpy().tobytes()).hexdigest())
"""


class TestTrain:
    @pytest.fixture(autouse=True)
    def needs_gensim(self):
        pytest.importorskip("gensim")

    def test_shape_padding_and_share_found(self):
        vocab = Vocab.build([*CORPUS, ["unseen"]])
        rows, found = train_vectors(CORPUS, vocab, dim=12, epochs=1)
        assert rows.shape == (len(vocab), 12)
        assert rows.dtype == torch.float32
        words = len(vocab) - 2
        assert found == pytest.approx((words - 1) / words)
        assert torch.equal(rows[vocab.pad_id], torch.zeros(12))
        assert rows[vocab["unseen"]].abs().min() > 0

    def test_words_used_alike_come_out_alike(self):
        vocab = Vocab.build(CORPUS)
        rows, _ = train_vectors(CORPUS, vocab, dim=16, epochs=20, sample=0.0)
        unit = torch.nn.functional.normalize(rows, dim=1)

        def alike(a, b):
            return float(unit[vocab[a]] @ unit[vocab[b]])

        assert alike("cat", "dog") > alike("cat", "blue") + 0.2
        assert alike("red", "blue") > alike("red", "dog") + 0.2

    def test_a_seed_repeats_bit_for_bit_and_another_does_not(self):
        vocab = Vocab.build([*CORPUS, ["unseen"]])
        first, _ = train_vectors(CORPUS, vocab, dim=8, epochs=2, seed=7)
        again, _ = train_vectors(CORPUS, vocab, dim=8, epochs=2, seed=7)
        other, _ = train_vectors(CORPUS, vocab, dim=8, epochs=2, seed=8)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_a_seed_repeats_whatever_the_hash_seed_is(self):
        env = os.environ | {"PYTHONHASHSEED": "123"}
        command = [sys.executable, "-c", REPEAT]
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        corpus = [["a", "b", "c", "d"], ["b", "d", "e"]] * 50
        rows, _ = train_vectors(corpus, Vocab.build(corpus), dim=8, epochs=2, seed=3)
        assert ran.stdout.strip() == hashlib.sha256(rows.numpy().tobytes()).hexdigest()

    def test_words_outside_the_vocabulary_and_specials_are_left_out(self):
        vocab = Vocab.build(CORPUS, max_size=6)
        corpus = [["<pad>", *tokens] for tokens in CORPUS]
        rows, found = train_vectors(corpus, vocab, dim=8, epochs=2)
        assert found == 1.0
        assert torch.equal(rows, train_vectors(CORPUS, vocab, dim=8, epochs=2)[0])
        assert torch.equal(rows[vocab.pad_id], torch.zeros(8))

    def test_a_long_text_is_used_to_its_end(self):
        corpus = [["early"] * 10_000 + ["late", "word"] * 500]
        vocab = Vocab.build(corpus)
        long, found = train_vectors(corpus, vocab, dim=4, epochs=3, sample=0.0)
        cut, _ = train_vectors(
            [["early"] * 10_000, ["late", "word"] * 500], vocab, dim=4, epochs=3, sample=0.0
        )
        assert found == 1.0
        assert torch.equal(long, cut)

    def test_scale_and_progress(self):
        calls = []
        vocab = Vocab.build(CORPUS, specials=())
        rows, _ = train_vectors(
            CORPUS, vocab, dim=8, epochs=3, scale=0.3, progress=lambda done, of: calls.append((done, of))
        )
        assert float(rows.std(correction=0)) == pytest.approx(0.3, rel=1e-4)
        assert calls == [(1, 3), (2, 3), (3, 3)]

    def test_several_workers(self):
        rows, found = train_vectors(CORPUS, Vocab.build(CORPUS), dim=8, epochs=1, workers=2)
        assert found == 1.0
        assert rows.isfinite().all()

    def test_wrong_arguments(self):
        vocab = Vocab.build(CORPUS)
        with pytest.raises(TypeError, match="ends after one pass"):
            train_vectors(iter(CORPUS), vocab)
        with pytest.raises(TypeError, match=r"token_lists\[0\] is a string"):
            train_vectors(["a text"], vocab)
        for empty in ([], [["other"]]):
            with pytest.raises(ValueError, match="none of the vocabulary's words"):
                train_vectors(empty, vocab)
        for name in ("dim", "epochs", "window", "negative", "workers"):
            with pytest.raises(ValueError, match=f"{name} is 0"):
                train_vectors(CORPUS, vocab, **{name: 0})

    def test_without_gensim_the_error_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "gensim.models.callbacks", None)
        with pytest.raises(ImportError, match=r"pip install 'spikeseq\[recipes\]'"):
            train_vectors(CORPUS, Vocab.build(CORPUS))


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
@pytest.mark.parametrize("header", ["", "2 3\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path, suffix, header):  # case 4.4
    path = tmp_path / f"vectors{suffix}"
    content = f"\ufeff{header}good 1 2 3\nbad 4 5 6\n".encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    for _ in range(2):  # the second time from the cache
        rows, found = load_vectors(
            path, Vocab(["<pad>", "good", "bad"], specials=["<pad>"]), scale=None, cache=tmp_path
        )
        assert found == 1.0 and rows[1:].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e39", "x", "", "1,5"])
def test_numbers_that_are_none_are_refused_with_their_line(tmp_path, number):  # case 4.10
    path = tmp_path / "vectors.txt"
    path.write_text(f"good 1 2 3\nword 1 {number} 3\n")
    with pytest.raises(
        ValueError, match=rf"vectors.txt, line 2: '{number}' after the word; expected a finite"
    ):
        load_vectors(path, Vocab(["good"]), cache=tmp_path)
