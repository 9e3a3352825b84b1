"""Weights of runs: matrices in 8 bits come back to half a step; what does not belong together is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import spikeseq
from spikeseq.recipes.shipped.small import shrink
from spikeseq.recipes.weights import SMALLEST, STEP, rounded, widened

pytestmark = pytest.mark.usefixtures("cache")


@given(
    st.integers(1, 40),
    st.floats(1e-30, 1e30),
    st.integers(0, 3),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_a_matrix_comes_back_to_half_a_step(rows, scale, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, SMALLEST, generator=generator, dtype=dtype) * scale
    matrix[0] = 0
    small = rounded({"map.weight": matrix, "map.bias": matrix[0]})
    assert small["map.weight"].dtype == torch.int8 and small["map.bias"] is not small["map.weight"]
    wide = widened(small)
    assert wide.keys() == {"map.weight", "map.bias"} and wide["map.weight"].dtype == dtype
    step = matrix.abs().amax(1, keepdim=True) / 127
    assert ((wide["map.weight"] - matrix).abs() <= 0.51 * step).all()
    again = widened(rounded(wide))["map.weight"]
    assert torch.allclose(again, wide["map.weight"], rtol=1e-6, atol=0)


def test_what_is_small_or_whole_stays():
    kept = {"leak": torch.rand(5000), "small": torch.rand(3, 4), "table": torch.arange(4000).view(40, 100)}
    assert all(rounded(kept)[name] is value for name, value in kept.items()) and len(rounded(kept)) == 3


@pytest.mark.parametrize("case", ["no matrix", "another type", "other rows"])
def test_steps_belong_to_a_matrix_of_8_bits(case):
    small = rounded({"map.weight": torch.rand(4, SMALLEST)})
    small["map.weight"] = {
        "no matrix": None, "another type": torch.rand(4, SMALLEST), "other rows": small["map.weight"][:3],
    }[case]  # fmt: skip
    given = {name: value for name, value in small.items() if value is not None}
    with pytest.raises(ValueError, match=r"map\.weight\.step belongs to no matrix of 8 bits with 4 rows"):
        widened(given)


@pytest.fixture(scope="module")
def run(training):
    from spikeseq.recipes.config import load_config
    from spikeseq.recipes.train import train

    settings = ["data.limit=80", "data.tokenizer=whitespace", "train.epochs=1", "evaluate.energy_texts=2"]
    sizes = ["model.embedding_size=16", "model.hidden_size=64", "train.warmup=1"]
    train(load_config("imdb", overrides=[*settings, *sizes]), training / "run", device="cpu")
    return training / "run"


def test_a_run_in_8_bits_is_a_run(run, tmp_path, cli):
    said = shrink(run, tmp_path / "small", print)
    assert (tmp_path / "small" / "model.safetensors").stat().st_size < (
        run / "model.safetensors"
    ).stat().st_size / 2
    tensors = load_file(tmp_path / "small" / "model.safetensors")
    assert "embedding.weight" + STEP in tensors and tensors["embedding.weight"].dtype == torch.int8
    small, whole = spikeseq.load(tmp_path / "small"), spikeseq.load(run)
    for name, value in small.model.state_dict().items():
        other = whole.model.state_dict()[name]
        assert value.dtype == other.dtype and (value - other).abs().max() <= other.abs().max() / 200
    told = cli("evaluate", tmp_path / "small", "--json")
    assert f'"accuracy": {said["accuracy"]}' in told.out
    with pytest.raises(ValueError, match="small exists; expected the name of a new folder"):
        shrink(run, tmp_path / "small", print)


def test_versions_before_refuse_it_and_damage_is_told(run, tmp_path):
    shrink(run, tmp_path / "small", print)
    path = tmp_path / "small" / "model.safetensors"
    tensors = load_file(path)
    del tensors["embedding.weight"]
    save_file(tensors, path, {"format": "2"})
    (tmp_path / "small" / "manifest.json").unlink()
    metrics = tmp_path / "small" / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"manifest"', '"former"'))
    with pytest.raises(
        ValueError, match=r"another model than .*embedding\.weight\.step belongs to no matrix"
    ):
        spikeseq.load(tmp_path / "small")
    save_file(tensors, path, {"format": "3"})
    with pytest.raises(ValueError, match=r"has format '3'; this version reads '1', '2'"):
        spikeseq.load(tmp_path / "small")
