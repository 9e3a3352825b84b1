"""A setting either does something in a run or is refused, for every recipe, model and method."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import get_type_hints

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from spikeseq.models import build_classifier
from spikeseq.models.language import build_language_model
from spikeseq.models.seq2seq import build_seq2seq
from spikeseq.models.sequence import build_sequence_classifier
from spikeseq.recipes.config import OPTIONS, load_config, type_name
from spikeseq.recipes.engine import Task
from spikeseq.recipes.images import start
from spikeseq.recipes.language import corpus as language_corpus
from spikeseq.recipes.plain import CONFIGS, ConfigError, flat, refuse_idle, room
from spikeseq.recipes.registry import CLASSES, RECIPES
from spikeseq.recipes.settings import idle, meanings
from spikeseq.recipes.text import corpus as text_corpus
from spikeseq.recipes.translation import corpus as parallel_corpus

# What `engine.fit` and the groups of its optimiser read, whatever the recipe, of a model that is trained.
ENGINE = {
    *("epochs", "learning_rate", "schedule", "beta2", "weight_decay", "warmup", "clip", "average"),
    *("spike_penalty", "patience"),
}
QUICK = {
    "imdb": ["data.tokenizer=whitespace", "data.limit=40", "train.batch_size=4", "evaluate.energy_texts=1"],
    "sentences": ["data.tokenizer=whitespace", "data.limit=40", "train.batch_size=4",
                  "evaluate.energy_texts=1"],
    "lm": ["data.limit=20", "train.batch_size=4", "train.chunk=8", "evaluate.energy_tokens=4"],
    "multi30k": ["data.tokenizer=whitespace", "data.limit=8", "train.batch_tokens=40", "evaluate.beam=1",
                 "evaluate.energy_texts=1"],
    "cifar10": ["data.limit=40", "train.batch_size=4", "model.width=0.05", "evaluate.images=4",
                "evaluate.energy_images=1"],
    "dvs128": ["data.limit=22", "data.frames=4", "data.size=32", "data.validation_subjects=1",
               "model.widths=[2,2]", "model.hidden=4", "train.batch_size=4", "evaluate.energy_recordings=1"],
    "digits-multimodal": ["data.limit=40", "model.neurons=4", "model.time=20.0", "train.epochs=1",
                          "train.part=18"],
    "cifar10-stdp": ["data.limit=40", "model.neurons=4", "model.stride=13", "model.pool=2",
                     "train.images=20"],
    "psmnist": ["data.limit=40", "train.batch_size=4", "evaluate.energy_sequences=1",
                "evaluate.streamed_sequences=1"],
    "imdb-bytes": ["data.limit=40", "data.longest=40", "train.batch_size=4", "evaluate.energy_sequences=1",
              "evaluate.streamed_sequences=1", "model.ngram_rows=50"],
    "mnist-stdp": ["data.limit=40", "model.neurons=4", "model.time=20.0", "train.epochs=1", "train.part=18"],
}  # fmt: skip


WHOLE = ("imdb", "lm", "multi30k", "psmnist", "imdb-bytes")
"""Recipes whose models are built from the section `model` as a whole."""


def variants(recipe):
    file = OmegaConf.load(CONFIGS / f"{recipe}.yaml")
    return [(str(model), method) for model in file.variants for method in file.get("methods", [None])]


def load(recipe, model, method, source="sample"):
    frames = ["data.frame_ms=15.0"] if method == "frames" else []
    return load_config(
        recipe, model=model, method=method, data=str(source), overrides=[*QUICK[recipe], *frames]
    )


@contextmanager
def reads() -> Iterator[set[str]]:
    """The dotted keys that are looked up meanwhile, in any configuration."""
    seen, original = set(), DictConfig._get_impl

    def noted(self, key, *rest, **options):
        seen.add(str(self._get_full_key(key)))
        return original(self, key, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictConfig, "_get_impl", noted)
        yield seen


def step(recipe, task, folder):
    """A step of a training, or a short training whole."""
    if not isinstance(task, Task):
        alone = SimpleNamespace(num_processes=1)
        folder.mkdir(exist_ok=True)
        RECIPES[recipe].fit(task, folder, settings=None, resume=False, accelerator=alone, progress=None)
        return
    batch = task.batches(0)[0]
    task.model.train()
    task.loss(task.model, task.collate(batch, torch.Generator())).backward()


def silent(text):
    pass


@pytest.fixture
def fresh_start(training, monkeypatch, tmp_path):
    """Corpora are made anew and kept nowhere; a run to start from is made up."""
    for module in (text_corpus, parallel_corpus, language_corpus):
        monkeypatch.setattr(module, "_facts", lambda *given: [])
        monkeypatch.setattr(module, "corpus_folder", lambda facts: tmp_path / "corpus")
        monkeypatch.setattr(module, "keep_corpus", lambda *given: None)
    before = load("cifar10", "lenet", "ann")
    monkeypatch.setattr(start.runs, "read_config", lambda folder: before.copy())
    monkeypatch.setattr(start, "restored", lambda folder, config, data: start.empty(config, *data.shape))
    return before


def read_in(recipe, config, corpora, folder, final):
    """What a run of a configuration reads: data and final measurements where they are not known yet."""
    with reads() as seen:
        key = config.data.get("encoding")
        if key not in corpora:
            with reads() as of_data:
                corpora[key] = RECIPES[recipe].load(config, silent), of_data
        corpus, of_data = corpora[key]
        task = RECIPES[recipe].task(config, corpus)
        step(recipe, task, folder)
        if final:
            task.model.eval()
            RECIPES[recipe].test(config, task, task.model, "test", torch.device("cpu"))
            RECIPES[recipe].energy(config, task, task.model, "test")
    return {key for key in seen | of_data if not key.startswith("train.") or key in seen}


@pytest.mark.parametrize(
    ("recipe", "models"),
    [
        ("imdb", ["snn", "lstm", "bow"]),
        ("lm", ["snn", "lstm", "transformer"]),
        ("multi30k", ["conv-snn-snn", "attention-gru-gru"]),
        ("cifar10", ["lenet", "resnet8"]),  # of either kind
        ("dvs128", ["snn", "ann", "gru"]),
        ("cifar10-stdp", ["pairs", "powerlaw", "switching", "random", "backprop"]),
        ("mnist-stdp", ["pairs", "powerlaw", "switching"]),
        ("digits-multimodal", ["both", "image", "sound"]),
        ("psmnist", ["snn", "lstm"]),
        ("imdb-bytes", ["snn", "gru"]),
    ],
)
def test_every_setting_is_read_or_refused(recipe, models, fresh_start, request, tmp_path):
    source = request.getfixturevalue("recordings") if recipe == "dvs128" else "sample"
    corpora, evaluated, whole = {}, set(), recipe in WHOLE
    for model, method in variants(recipe):
        if model not in models:
            continue
        config = load(recipe, model, method, source)
        if method in ("convert", "hybrid", "diet"):
            config.model.start = "ann"
            fresh_start.model.name = model
            config.distillation.weight = 0.5 * (method != "convert")
        seen = read_in(recipe, config, corpora, tmp_path / "run", final=not evaluated)
        evaluated |= {key for key in seen if key.startswith("evaluate.")} | {"evaluate.split"}
        if RECIPES[recipe].trains(config):
            seen |= {f"train.{name}" for name in ENGINE}
        refused = dict(idle(room(recipe).IDLE, config))
        for key in flat(config).keys() - OPTIONS.keys() - refused.keys() - seen - evaluated:
            # The builders of these take the whole section; what it does is seen below.
            taken = whole and (key.startswith("model.") or key == "train.embedding_rate")
            assert taken or key == "train.embedding_rate", f"{recipe} {model} {method}: {key} does nothing"
        for key in refused:
            with pytest.raises(ConfigError, match="has no effect"):
                refuse_idle(config, [key])


def test_a_recipe_of_every_room_is_looked_at():
    missing = set(CLASSES.values()) - {CLASSES[name] for name in QUICK}
    assert not missing, f"no recipe of {sorted(missing)} in QUICK of this file (CONTRIBUTING.md)"


SMALL_MODEL = {
    "embedding_size": 6, "hidden_size": 6, "channels": 6, "layers": 2, "integrators": 5, "positions": 9,
    "dropout": 0.3, "embedding_dropout": 0.3, "word_dropout": 0.3, "output_dropout": 0.3,
    "neurons": 8, "heads": 2, "context": 8, "mixer": 4, "front_dropout": 0.3, "stride": 4,
    "recent": 5, "modes": 3, "span": 9,
}  # fmt: skip
OTHERS = {"pooling": ("mean", "last"), "norm": ("layer", "none"), "reset": ("soft", "hard"),
          "surrogate": ("piecewise_linear", "sigmoid"), "kernel_size": (3, 5),
          "decay": ("fixed", "input"), "heads": (2, 3), "context": (8, 6),
          "embedding_size": (6, 12), "ngrams": ([], [2]), "readout": ("mean", "last"),
          "bits": (None, 3)}  # fmt: skip


def another(name, value):
    """A valid value that is not this one."""
    if name in OTHERS:
        return next(other for other in OTHERS[name] if other != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value / 2 if isinstance(value, float) else [0.3, 0.6]


def outcome(recipe, settings):
    """Loss and gradients of a step of the model of a section `model`."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(4, 12, (6, 5), generator=generator)
    lengths = torch.tensor([6, 6, 5, 4, 6])
    torch.manual_seed(0)
    if recipe == "imdb":
        model = build_classifier(settings, 12, 2)
        for name in ("readout", "weights"):  # which start at zero, and nothing reaches what is before them
            if hasattr(model, name):
                torch.nn.init.normal_(getattr(model, name).weight)
        loss = model(tokens, lengths).square().sum()
    elif recipe in ("psmnist", "imdb-bytes"):
        model = build_sequence_classifier(settings, 2, vocabulary=12 if recipe == "imdb-bytes" else None)
        torch.nn.init.normal_(model.to_classes.weight)
        x = tokens.repeat(4, 1) if recipe == "imdb-bytes" else torch.randn(24, 5, 1, generator=generator)
        loss = model(x)[0].square().sum()
    elif recipe == "lm":
        model = build_language_model(settings, 12)
        first, state = model(tokens)
        loss = first.square().sum() + model(tokens, state)[0].square().sum()
    else:
        model = build_seq2seq(settings, 12, 12)
        loss = model(tokens, lengths, tokens, lengths).square().sum()
    loss.backward()
    grads = [p.grad.double().sum().item() for p in model.parameters() if p.grad is not None]
    return [loss.item(), *grads]


@pytest.mark.parametrize("recipe", WHOLE)
def test_every_setting_of_a_model_changes_it_or_is_refused(recipe):
    for model, method in variants(recipe):
        if model.startswith("vanilla") and "lstm" in model:
            continue  # as with attention; this takes time
        config = load_config(recipe, model=model, method=method)
        config.model.update({k: v for k, v in SMALL_MODEL.items() if k in config.model})
        cases = [(config.model, [name for name in config.model if name not in ("name", "start")])]
        if "leaks" in config.model:
            one = config.model.copy()
            one.leaks = []
            cases += [(one, ["leak"])]
        if "rectified" in config.model and model != "rnn":
            one = config.model.copy()
            one.bits = 4
            cases += [(one, ["bits", "rectified"])]
        if "ngrams" in config.model:
            one = config.model.copy()
            one.ngrams = [2]
            cases += [(one, ["ngram_rows"])]
        for settings, names in cases:
            config.model = settings
            usual, refused = outcome(recipe, settings), dict(idle(room(recipe).IDLE, config))
            for name in names:
                if f"model.{name}" not in refused:
                    changed = settings.copy()
                    changed[name] = another(name, settings[name])
                    assert outcome(recipe, changed) != usual, f"{model}: model.{name} changes nothing"


def test_every_setting_has_a_meaning():
    for recipe in QUICK:
        for model, _ in variants(recipe):
            for section, kind in room(recipe).sections(model).items():
                known = meanings(kind)
                for name in kind.__dataclass_fields__:
                    assert known.get(name), f"{recipe}: {section}.{name}"


def test_a_setting_means_the_same_in_all_recipes():
    types = {}
    for recipe in QUICK:
        for model, _ in variants(recipe):
            for section, kind in room(recipe).sections(model).items():
                for name, hint in get_type_hints(kind).items():
                    types.setdefault(f"{section}.{name}", set()).add(type_name(hint).split(" or ")[0])
    assert {key for key, kinds in types.items() if len(kinds) > 1} == set()
