import json
import re
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from recipe_case import MODELS, quick, rows, write_rows
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import spikeseq
from spikeseq.models import build_classifier
from spikeseq.recipes.config import load_config
from spikeseq.recipes.runs import RunError, load, read_metrics
from spikeseq.recipes.text.classifier import Classifier
from spikeseq.recipes.weights import save_model
from spikeseq.tokenizers import Vocab

CLASSES = ["bad", "good", "mixed"]
TEXTS = [text for text, _ in rows(12)] + ["", "   ", "\t", "üüü 🎉 电影", "film " * 500, "<br />", "a\x00b"]


@pytest.fixture
def run(tmp_path):
    """Makes a run folder of a model with random weights, without training."""

    def make(model="snn", classes=CLASSES, **changes):
        config = load_config("imdb", model=model, overrides=quick(model, **changes))
        vocab = Vocab.build(text.split() for text, _ in rows())
        torch.manual_seed(1)
        network = build_classifier(config.model, len(vocab), len(classes))
        for parameter in network.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.5)
        folder = tmp_path / model
        folder.mkdir()
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
        vocab.to_json(folder / "vocab.json")
        (folder / "classes.json").write_text(json.dumps(classes))
        save_model(folder, network, config)
        return folder

    return make


def test_the_same_weights_are_the_same_file(run):
    folder = run()
    path, config = folder / "model.safetensors", load_config("imdb", model="snn")
    model = spikeseq.load(folder).model
    written = set()
    for _ in range(8):
        save_model(folder, model, config)
        written.add(path.read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("model", MODELS)
def test_predictions_depend_on_nothing_but_the_text(run, model):
    classifier = spikeseq.load(run(model))
    assert isinstance(classifier, Classifier)
    found = classifier.predict(TEXTS)
    assert len(found) == len(TEXTS)
    for prediction in found:
        assert prediction.label in CLASSES and prediction.score == max(prediction.scores.values())
        assert prediction.scores[prediction.label] == prediction.score
        assert list(prediction.scores) == CLASSES
        assert sum(prediction.scores.values()) == pytest.approx(1)
    for other in (classifier.predict(TEXTS, batch_size=1), classifier.predict(TEXTS, batch_size=3)):
        for a, b in zip(found, other, strict=True):
            assert a.scores == pytest.approx(b.scores, abs=1e-5)
    backwards = classifier.predict(TEXTS[::-1])[::-1]
    for a, b in zip(found, backwards, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-5)
    assert classifier.predict([]) == []
    assert len({prediction.score for prediction in found}) > 3


@pytest.mark.parametrize("model", [name for name in MODELS if name != "bow"])
@pytest.mark.parametrize("text", ["film 1 was superb", "", "really " * 400], ids=["usual", "empty", "long"])
def test_the_trace_ends_in_the_prediction(run, model, text):
    classifier = load(run(model))
    tokens, logits = classifier.trace(text)
    assert len(tokens) == len(logits) and logits.shape[1] == 3
    assert tokens == (["<unk>"] if not text else text.split()[:300])
    scores = classifier.predict([text])[0].scores
    assert logits[-1].softmax(0).tolist() == pytest.approx(list(scores.values()), abs=1e-5)


def test_a_bag_of_words_has_no_trace(run):
    with pytest.raises(TypeError, match="'bow' has no membrane or state"):
        load(run("bow")).trace("film")


@pytest.mark.parametrize("texts", ["one string", [b"bytes"], [None], [["a"]]])
def test_texts_must_be_strings(run, texts):
    with pytest.raises(TypeError, match="texts must be"):
        load(run()).predict(texts)


def test_the_checkpoint_says_what_it_is(run):
    with safe_open(run() / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "1", "recipe": "imdb", "model": "snn"}


def test_a_run_of_an_older_version_gets_the_defaults_of_what_was_added(run):
    folder = run()
    config = OmegaConf.load(folder / "config.yaml")
    del config.train.label_smoothing, config.evaluate.shuffled
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    assert load(folder).config.evaluate.shuffled is True


def refusal(folder):
    with pytest.raises(RunError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_that_are_no_runs(run, tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "it has no config.yaml" in refusal(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    assert "not a run folder" in refusal(tmp_path / "file")
    folder = run()
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors: the run is not finished; go on with --resume" in refusal(folder)


@pytest.mark.parametrize("name", ["config.yaml", "vocab.json", "classes.json", "model.safetensors"])
def test_damaged_files_are_named(run, name):
    folder = run()
    content = (folder / name).read_bytes()
    damages = [b"", content[: len(content) // 2], b"\xff\xfe\x00", b"[]", b"{}", b"[1, 2]", b"a: [", b"3"]
    for damaged in damages:
        (folder / name).write_bytes(damaged)
        assert name in refusal(folder), damaged
    (folder / name).unlink()
    assert name in refusal(folder)
    (folder / name).mkdir()
    assert name in refusal(folder)


@pytest.mark.parametrize(
    "damage",
    ["recipe: [1]", "recipe: other", "model: snn", "model: {name: other}", "data: 3", "data: {tokenizer: no}",
     "model: {surrogate: none}", "model: {dropout: 7}", "model: {nonsense: 1}", "seed: x", "seed: null",
     "train: {batch_size: 0}", "data: {kept_tokens: -3}", "data: {source: null}", "evaluate: {split: no}"],
)  # fmt: skip
def test_a_config_with_other_contents(run, damage):
    folder = run()
    config = OmegaConf.load(folder / "config.yaml")
    change = OmegaConf.create(damage)
    for key, value in change.items():
        config[key] = OmegaConf.merge(config[key], value) if OmegaConf.is_dict(value) else value
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    assert str(folder) in refusal(folder)


def test_weights_that_are_not_the_models(run):
    snn, lstm = run("snn"), run("lstm")
    shutil.copy(lstm / "model.safetensors", snn / "model.safetensors")
    assert re.search(r"model\.safetensors is of another model than .*config\.yaml", refusal(snn))
    tensors = load_file(lstm / "model.safetensors")
    save_file(tensors, lstm / "model.safetensors", {"format": "99"})
    assert "has format '99'; this version reads '1'" in refusal(lstm)
    save_file(tensors, lstm / "model.safetensors")
    assert "has format None" in refusal(lstm)


def test_a_leak_out_of_bounds_is_refused(run):
    folder = run()
    tensors = load_file(folder / "model.safetensors")
    (name,) = (key for key in tensors if key.endswith("layers.0.lif.leak"))
    tensors[name] = torch.tensor([1.5])
    save_file(tensors, folder / "model.safetensors", {"format": "1"})
    assert "leak" in refusal(folder) and "1.5" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(run, value):
    folder = run("bow")  # which has no neurons, whose values are checked
    tensors = load_file(folder / "model.safetensors")
    name = min(tensors)
    tensors[name].view(-1)[0] = value
    save_file(tensors, folder / "model.safetensors", {"format": "1"})
    assert f"model.safetensors is damaged: {name} holds {value}" in refusal(folder)


@pytest.mark.parametrize("classes", [["a", "a", "b"], "abc", [1, 2, 3], ["a"], {"a": 1, "b": 2}])
def test_classes_that_are_no_names(run, classes):
    folder = run()
    (folder / "classes.json").write_text(json.dumps(classes))
    assert re.search(r"classes\.json is damaged: the class.* expected", refusal(folder))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"recipe": "imdb"', b"\xff"])
def test_damaged_metrics_are_named(tmp_path, content):
    assert read_metrics(tmp_path) is None
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(RunError, match=r"metrics\.json is damaged") as caught:
        read_metrics(tmp_path)
    assert "\n" not in str(caught.value)


def test_data_that_are_evaluated_must_have_the_classes(run, tmp_path):
    from spikeseq.recipes.evaluate import evaluate

    folder = run("lstm")
    same = write_rows(tmp_path / "same.jsonl")
    result = evaluate(folder, data=str(same), split="validation", say=str)
    assert result["split"] == "validation" and 0 <= result["accuracy"] <= 100
    other = write_rows(tmp_path / "other.csv", [(f"{label} {i}", label) for i in range(9) for label in "xy"])
    with pytest.raises(ValueError, match=r"has the classes .*'x', 'y'.*, the model was trained on .*'mixed'"):
        evaluate(folder, data=str(other), split="test", say=str)
    with pytest.raises(ValueError, match="--split must be one of train, validation, test, got 'dev'"):
        evaluate(folder, data=str(same), split="dev", say=str)
