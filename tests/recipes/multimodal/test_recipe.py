"""The recipe for digits seen and heard end to end, on digits that the package draws and speaks."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import spikeseq
from spikeseq.recipes.config import load_config
from spikeseq.recipes.multimodal.model import pair_network
from spikeseq.recipes.multimodal.task import PairTask
from spikeseq.recipes.multimodal.voice import RATE, speak
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.shared.images.digits import digit_sample
from spikeseq.recipes.shared.pictures import save_weights
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
QUICK = [
    *("data.limit=120", "model.neurons=40", "model.frames=8", "model.cross_after=100", "train.part=50"),
    *("train.epochs=2", "train.pairs=100", "evaluate.quick=20"),
]


def config_of(*more, model=None):
    return load_config("digits-multimodal", model=model, overrides=[*QUICK, *more])


@pytest.fixture(scope="module")
def run(training):
    folder = training / "pairs"
    return folder, train(config_of(), folder)


def test_a_run_is_learnt_opened_and_pictured(run, cli, tmp_path):
    folder, metrics = run
    test = metrics["test"]
    assert test["accuracy"] == test["vote"] > 40 and test["linear"] > 40  # 10 by chance
    assert min(test["no_image"], test["no_sound"]) > 20 and test["strong_share"] >= 0
    assert sum(map(sum, test["confusion"])) == test["pairs"] == 120
    assert metrics["energy"]["acs"] > 0 and metrics["pairs"] == {"train": 110, "validation": 10, "test": 120}
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [record["pairs"] for record in log] == [50, 100, 150, 200]
    opened = spikeseq.load(folder)
    image, sound = tmp_path / "digit.png", tmp_path / "digit.wav"
    from PIL import Image
    from scipy.io import wavfile

    Image.fromarray(digit_sample(opened.config.data).splits["test"].pixels[3, 0].numpy()).save(image)
    wavfile.write(sound, RATE, speak(3, np.random.default_rng(1)))
    seen, heard, both = opened.predict([image, sound, (image, sound)])
    assert seen != heard != both and sum(both.scores.values()) == pytest.approx(1)
    done = cli("classify", folder, stdin=f"{image}\n{sound}\n".encode())
    assert [line.split("\t")[0] for line in done.out.splitlines()] == [seen.label, heard.label], done.err
    done = cli("evaluate", folder, "--json")
    assert json.loads(done.out)["vote"] == test["vote"]
    RECIPES["digits-multimodal"].draw(folder, metrics, spikeseq.load)
    pictures = {"weights.png", "sound-weights.png", "confusion.png"}
    assert pictures <= {path.name for path in folder.iterdir()}
    assert cli("report", folder, "--out", tmp_path / "report.html").code == 0
    page = (tmp_path / "report.html").read_text()
    assert f"<summary>Inside {folder.name}</summary>" in page
    for picture in ("Weights", "Weights of sound", "Who is taken for whom"):
        assert f'aria-label="{picture}. ' in page
    with pytest.raises(TypeError, match="list of paths"):
        opened.predict(str(image))


# Before and behind the beginning of connections across; between the last weights and their picture.
@pytest.mark.parametrize("stop_at", [1, 4])
def test_cut_off_and_resumed_is_undisturbed(stop_at, run, tmp_path, monkeypatch):
    save = PairTask._save

    def stop(self, folder, state):
        save(self, folder, state)
        if state.epoch == stop_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PairTask, "_save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config_of(), tmp_path / "cut")
    again = train(config_of(), tmp_path / "cut", resume=True)
    whole, cut = (folder / "model.safetensors" for folder in (run[0], tmp_path / "cut"))
    whole, cut = load_file(whole), load_file(cut)
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    assert {**again, "seconds": 0} == {**run[1], "seconds": 0}
    learnt = spikeseq.load(run[0]).model.network.get_parameter("weight0")
    save_weights(tmp_path / "expected.png", learnt, 28)
    assert (tmp_path / "cut" / "weights.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


@pytest.mark.parametrize("model", ["image", "sound"])
def test_one_modality_alone(model, tmp_path):
    metrics = train(config_of_one(model), tmp_path / "run")
    assert metrics["test"][f"{model}_spikes"] > 1 and "no_image" not in metrics["test"]
    opened = spikeseq.load(tmp_path / "run")
    assert opened.model.network.plan.ensembles[0].neurons == 40
    other = tmp_path / ("digit.wav" if model == "image" else "digit.png")
    kind = "sound" if model == "image" else "image"
    with pytest.raises(ValueError, match=f"a {kind}, but model '{model}' has no ensemble for it"):
        opened.predict([other])


def config_of_one(model):
    kept = [one for one in QUICK if "cross" not in one]
    return load_config("digits-multimodal", model=model, overrides=kept)


def connected(cross, share):
    model = pair_network(config_of(f"model.cross={cross}", f"model.share={share}"), 10)
    # 40 neurons, two for each digit and modality, but one that never fired.
    counts = torch.eye(10, dtype=torch.int32).repeat(1, 4)
    counts[:, 0] = 0
    assert not model.network.cross0.any() and not model.network.cross1.any()
    model.connect(counts, torch.arange(10))
    return model.network


def test_made_connections_join_neurons_of_one_label():
    network = connected("made", 1.0)
    digit = torch.arange(10).repeat(2)
    wanted = 5.0 * (digit[:, None] == digit)
    wanted[0] = 0
    assert torch.equal(network.cross0, wanted) and torch.equal(network.cross1, wanted.T)
    few = connected("made", 0.05)
    assert int((few.cross0 > 0).sum()) == 20 and not few.cross0[wanted == 0].any()


def test_learnt_connections_begin_at_random():
    network = connected("learnt", 0.3)
    assert 80 < int((network.cross0 > 0).sum()) < 160 and network.cross0.max() <= 0.5
    assert torch.equal(network.cross0 > 0, network.cross0_possible > 0)


def test_a_silent_ensemble_has_no_vote():
    model = pair_network(config_of("model.neurons=6"), 2)
    model.labels.copy_(torch.tensor([0, 0, 1, 0, 1, -1]))
    counts = torch.tensor([[4, 2, 1, 3, 5, 9], [0, 0, 0, 3, 5, 9], [4, 2, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    assert model.scores(counts, "vote").tolist() == [[3, 3], [3, 5], [3, 1], [0, 0]]


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"model\.neurons must be even, half for each modality, got 41"):
        pair_network(config_of("model.neurons=41"), 10)
    for override, why in (
        ("model.cross_rate=0.1", "with model.cross=made"),
        ("train.learning_rate=0.1", "on learning by spike timing"),
        ("data.deviation=20", "with data.noise=none"),
    ):
        with pytest.raises(ConfigError, match=f"has no effect {why}"):
            config_of("model.cross=made", override)
    with pytest.raises(ConfigError, match=r"model\.cross has no effect with model image, which is alone"):
        load_config("digits-multimodal", model="image", overrides=["model.cross=none"])
    with pytest.raises(ValueError, match="Hz, one spike a step"):
        train(config_of("model.sound_hertz=2000.0"), tmp_path / "b")
