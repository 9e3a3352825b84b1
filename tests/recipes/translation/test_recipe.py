"""The translation recipe on the sample: batches, loss, training, files, command line."""

import itertools
import random
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

import spikeseq
from spikeseq.evaluation.energy.table import compute_rows
from spikeseq.models.seq2seq import MODELS, UNK, build_seq2seq
from spikeseq.recipes.config import load_config
from spikeseq.recipes.evaluate import compare, evaluate
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.shared.plots import plot_attention
from spikeseq.recipes.train import train
from spikeseq.recipes.translation.corpus import load_parallel_corpus, read_sides
from spikeseq.recipes.translation.task import (
    build_translation_task,
    collate,
    perplexity,
    token_batches,
    token_loss,
)

pytestmark = pytest.mark.usefixtures("training")  # whose cache is empty at first
QUICK = [
    "data.limit=80", "train.epochs=1", "train.batch_tokens=300", "train.warmup=2",
    "train.average=0.5", "evaluate.energy_texts=3", "evaluate.beam=2",
]  # fmt: skip
SMALL = {
    "conv": ["model.channels=16", "model.layers=2"],
    "attention": ["model.hidden_size=16", "model.embedding_size=16"],
    "vanilla": ["model.hidden_size=16", "model.embedding_size=16"],
}


TOKENIZERS = {"subword": [], "spacy": ["data.tokenizer=spacy"]}


def config_of(model="conv-snn-snn", *changes, **options):
    pieces = [] if any(change.startswith("data.tokenizer=") for change in changes) else ["data.pieces=330"]
    overrides = [*QUICK, *pieces, *SMALL[model.split("-")[0]], *changes]
    return load_config("multi30k", model=model, overrides=overrides, **options)


@pytest.fixture(scope="module", params=TOKENIZERS)
def corpus(request, training):
    return load_parallel_corpus(config_of("conv-snn-snn", *TOKENIZERS[request.param]).data)


def test_batches_hold_every_pair_once_and_keep_the_token_limit():
    rng = random.Random(0)
    lengths = [(rng.randint(1, 30), rng.randint(1, 30)) for _ in range(500)]
    for shuffled in (None, random.Random(1)):
        batches = token_batches(lengths, 200, shuffled)
        assert sorted(itertools.chain(*batches)) == list(range(500))
        for batch in batches:
            assert max(max(lengths[i]) for i in batch) * len(batch) <= 200
    assert token_batches(lengths, 1, None) == [
        [i] for batch in token_batches(lengths, 1, None) for i in batch
    ]
    used = sum(max(map(max, (lengths[i] for i in b))) * len(b) for b in token_batches(lengths, 200, None))
    assert used < 1.6 * sum(max(pair) for pair in lengths)  # little is padding


def test_epochs_differ_and_repeat(corpus):
    task = build_translation_task(config_of(), corpus)
    assert task.batches(0) == task.batches(0) != task.batches(1)


def test_dropped_merges_change_source_pieces_and_nothing_else(tmp_path):
    config = config_of("conv-snn-snn", "data.merge_dropout=0.2")
    corpus = load_parallel_corpus(config.data)
    task, split = build_translation_task(config, corpus), corpus.splits["train"]
    usual = dict(zip(split.source_texts, split.sources, strict=True))
    first, again, second = task.batches(0), task.batches(0), task.batches(1)
    assert first == again
    seen = {epoch: {text: ids for b in batches for text, ids in zip(b.source_texts, b.sources, strict=True)}
            for epoch, batches in enumerate((first, second))}  # fmt: skip
    assert seen[0] != seen[1] and seen[0].keys() == seen[1].keys() == usual.keys()
    assert sum(seen[0][text] != usual[text] for text in usual) > 0.5 * len(usual)
    assert sum(map(len, seen[0].values())) > sum(map(len, usual.values()))
    assert max(map(len, seen[0].values())) <= max(map(len, usual.values()))
    for text, ids in seen[0].items():
        assert UNK not in ids
        assert corpus.source.detokenise(corpus.source.vocab.decode(ids[:-1])) == text.lower()
    assert sorted(x for b in first for x in b.targets) == sorted(split.targets)
    assert corpus.splits["train"].sources == list(usual[text] for text in split.source_texts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.merge_dropout=1.0"], r"data.merge_dropout must be in \[0, 1\), got 1.0"),
        (
            ["data.merge_dropout=0.1", "data.tokenizer=spacy"],
            "merge_dropout has no effect with data.tok",
        ),
    ],
)
def test_dropped_merges_need_a_share_and_pieces(changes, message):
    with pytest.raises(ValueError, match=message):
        RECIPES["multi30k"].load(config_of("conv-snn-snn", *changes), lambda text: None)


def test_a_batch_and_its_loss_by_hand(corpus):
    split = corpus.splits["train"]
    source, source_lengths, target, target_lengths, labels = collate(split.part([3, 5]))
    assert source[: source_lengths[1], 1].tolist() == split.sources[5]
    assert target[: target_lengths[0], 0].tolist() == [2, *split.targets[3][:-1]]
    columns = [split.targets[3], split.targets[5]]
    flat = [column[row] for row in range(len(target)) for column in columns if row < len(column)]
    assert labels.tolist() == flat

    class Flat(nn.Module):  # every token equally likely
        def forward(self, source, source_lengths, target, target_lengths):
            return torch.zeros(int(target_lengths.sum()), len(corpus.target.vocab))

    batch = (source, source_lengths, target, target_lengths, labels)
    assert token_loss(Flat(), batch).exp().item() == pytest.approx(len(corpus.target.vocab), rel=1e-4)
    assert perplexity(Flat(), split, 300, torch.device("cpu")) == pytest.approx(
        len(corpus.target.vocab), rel=1e-4
    )


def test_ids_read_back_as_the_sentences(corpus):
    split = corpus.splits["train"]
    for i in range(0, len(split), 7):
        assert corpus.target.detokenise(corpus.target.vocab.decode(split.targets[i][:-1])) == (
            split.references[i].lower()
        )
        assert UNK not in split.sources[i]


def test_the_text_of_a_run_is_read_back(corpus, tmp_path):
    for name, content in corpus.files().items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    config = config_of("conv-snn-snn", f"data.tokenizer={'subword' if len(corpus.files()) == 3 else 'spacy'}")
    source, target = read_sides(tmp_path, config.data)
    assert source.vocab == corpus.source.vocab and target.vocab == corpus.target.vocab
    text = corpus.splits["test"].source_texts[0]
    assert source.tokenizer(text) == corpus.source.tokenizer(text)


def shortest(pairs, count):
    return pairs.part(sorted(range(len(pairs)), key=lambda i: len(pairs.source_texts[i]))[:count])


@pytest.mark.parametrize("model", MODELS)
def test_every_combination_builds_and_learns(corpus, model):
    torch.manual_seed(0)
    config = config_of(model)
    net = build_seq2seq(config.model, len(corpus.source.vocab), len(corpus.target.vocab))
    batch = collate(shortest(corpus.splits["train"], 12))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = token_loss(net, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        spikeseq.project_parameters(net)
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("model", ["conv-snn-snn", "conv-ann-ann"])
def test_the_convolutional_family_overfits_the_sample(corpus, model):
    torch.manual_seed(0)
    config = config_of(model, "model.channels=48", "model.dropout=0.0", "model.embedding_dropout=0.0")
    net = build_seq2seq(config.model, len(corpus.source.vocab), len(corpus.target.vocab))
    batch = collate(shortest(corpus.splits["train"], 20))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        token_loss(net, batch).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        spikeseq.project_parameters(net)
    *inputs, labels = batch
    right = (net.eval()(*inputs).argmax(1) == labels).float().mean()
    assert right >= 0.95


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, train(config_of("conv-snn-snn", "data.limit=40"), folder)


def test_a_run_says_what_the_design_asks_for(run):
    folder, metrics = run
    assert metrics["test"].keys() == {"bleu", "bleu_signature", "bleu_tok_lc", "beam", "length_penalty"}
    assert "case:lc" in metrics["test"]["bleu_signature"] and "tok:13a" in metrics["test"]["bleu_signature"]
    assert metrics["texts"] == {"train": 40, "validation": 40, "test": 40}
    assert 0 < metrics["spike_rate"] < 3 and metrics["energy"]["core"]["acs"] > 0
    assert len((folder / "test.hypotheses").read_text().split("\n")) == 41


def test_bleu_is_that_of_sacrebleu_on_the_written_files(run):
    folder, metrics = run
    command = [sys.executable, "-m", "sacrebleu", str(folder / "test.references"), "-i",
               str(folder / "test.hypotheses"), "-lc", "-b", "-w", "3"]  # fmt: skip
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert float(printed) == pytest.approx(metrics["test"]["bleu"], abs=1e-3)


def test_evaluate_repeats_the_test_and_compares_two_runs(run):
    folder, metrics = run
    again = evaluate(folder, data=None, split="test", say=lambda text: None)
    assert again["bleu_tok_lc"] == metrics["test"]["bleu_tok_lc"]
    copy = shutil.copytree(folder, folder.with_name("copy"))
    compared = compare(copy, folder, data=None, split="validation", say=lambda text: None)
    assert compared["baseline"]["bleu"] == compared["bleu"]
    systems = compared["bootstrap"]["systems"]
    assert systems[str(folder)]["p_value"] is None and systems[str(copy)]["p_value"] == 1.0
    assert systems[str(copy)]["bleu"] == pytest.approx(compared["bleu"], abs=1e-3)


@pytest.mark.parametrize(
    "change, message, idle",  # idle: without effect on a model that has no spikes
    [
        ("evaluate.length_penalty=-1", r"evaluate\.length_penalty must be 0 or", False),
        ("evaluate.beam=0", r"evaluate\.beam must be at least 1", False),
        ("train.batch_tokens=0", r"train\.batch_tokens must be at least 1", False),
        ("data.target_language=cs", r"data\.target_language must be one of en, de, fr", False),
        ("data.tokenizer=moses", r"data\.tokenizer must be one of", False),
        ("data.pieces=9000", r"data\.pieces=9000 for [\d,]+ training pairs: size is 9000, too large", False),
        ("model.positions=0", "positions must be at least 1", False),
        ("model.surrogate=approximate_lif", "remembers", True),
        ("model.leak=7.0", r"model\.leak must be in \[0, 1\]", True),
    ],
)
def test_settings_that_cannot_be_leave_no_folder(tmp_path, change, message, idle):
    without = "has no effect on conv-ann-ann" if idle else message
    for model, refusal in (("conv-snn-snn", message), ("conv-ann-ann", without)):
        with pytest.raises(ValueError, match=refusal):
            train(config_of(model, change), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_any_length_and_one_leak_for_all_can_be_set():
    assert (
        len(load_parallel_corpus(config_of("conv-snn-snn", "data.longest=null").data).splits["train"]) == 80
    )
    config = config_of("attention-snn-snn", "model.leaks=[]", "model.leak=0.9", "model.bypass=false")
    assert build_seq2seq(config.model, 9, 9).encoder.layers[0].leak.shape == (1,)


@pytest.mark.parametrize(("model", "kinds"), [("attention-gru-gru", ["int8"]), ("attention-gru-snn", [])])
def test_recurrent_baselines_are_also_measured_in_8_bits(corpus, model, kinds):
    config = config_of(model)
    few = replace(corpus, splits={"test": corpus.splits["test"].part(list(range(4)))})
    task = build_translation_task(config, few)
    task.model.eval()
    account = RECIPES["multi30k"].energy(config, task, task.model, "test")
    assert list(account["variants"]) == kinds
    for variant in account["variants"].values():
        assert 0 <= variant["bleu_tok_lc"] <= 100 and variant["not_counted"] == []
        assert variant["operations"]["int8_macs"] + variant["macs"] == pytest.approx(account["macs"])
        assert variant["core"]["picojoules"] < account["core"]["picojoules"] / 10
        rows = compute_rows({"run": {"recipe": "multi30k", "energy": account, "test": {}}}, "multi30k")
        labels = [row["model"] for row in rows if row["model"].startswith("run")]
        assert labels == [
            f"run{form}, {scope}"
            for form in ("", ", int8")
            for scope in ("convolutions or recurrences", "all")
        ]


@pytest.mark.parametrize("model", ["attention-gru-lstm", "vanilla-snn-gru"])
def test_few_bits_are_trained_counted_and_opened_again(training, tmp_path, model):
    metrics = train(config_of(model, "model.bits=4"), tmp_path / "run")
    energy = metrics["energy"]
    assert energy["operations"]["int4_macs"] > 0 and "macs" not in energy["operations"]
    assert energy["variants"] == {} and energy["not_counted"] == energy["guessed"] == []
    assert spikeseq.load(tmp_path / "run").translate(["ein hund ."])


def test_a_run_is_not_compared_with_itself(run):
    with pytest.raises(ValueError, match="is the run itself"):
        compare(run[0], run[0], data=None, split="test", say=lambda text: None)


def test_what_came_before_a_line_that_is_not_utf8_is_translated(run):
    command = [sys.executable, "-m", "spikeseq.cli", "translate", str(run[0]), "--beam", "1", "--batch", "8"]
    done = subprocess.run(command, input=b"Ein Hund\n\nEin \xff\n", capture_output=True, timeout=200)
    assert done.returncode == 2 and done.stdout.count(b"\n") == 2
    assert b"standard input, line 3: byte 5 is" in done.stderr


def test_a_filter_never_loses_or_adds_a_line(run):
    folder, _ = run
    lines = ["Ein Hund schläft.", "", "   ", "日本語 \u2028 ☃", "wort " * 400, "\tEin\x0bMann\r"]
    given = "".join(f"{line}\n" for line in lines).encode()
    command = [sys.executable, "-m", "spikeseq.cli", "translate", str(folder), "--beam", "1"]
    done = subprocess.run(command, input=given, capture_output=True, timeout=200)
    assert done.returncode == 0, done.stderr.decode()
    out = done.stdout.decode().split("\n")
    assert len(out) == len(lines) + 1 and out[1] == out[2] == out[-1] == ""


def test_the_attention_picture(run, tmp_path):
    translator = spikeseq.load(run[0])
    source, target, weights = translator.attention("Ein Hund schläft .")
    assert weights.shape == (len(target), len(source))
    plot_attention(tmp_path / "attention.png", source, target, weights)
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_recipes_are_complete():
    for recipe in RECIPES.values():
        assert recipe.figure and recipe.legend
