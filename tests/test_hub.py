"""Models with the hub's mixin, saved to folders and read back; models of transformers with swapped layers."""

import copy
import json
import pickle

import pytest
import torch

import spikeseq
from spikeseq import hub
from spikeseq.evaluation import measure_energy
from spikeseq.functional import ArcTan
from spikeseq.surrogates import Surrogate

CASES = {
    "SpikingClassifier": ((30,), {"hidden_size": 5, "ngrams": (2,), "surrogate": ArcTan(2.0, 0.5)}),
    "RecurrentClassifier": ((30, 3), {"kind": "gru", "hidden_size": 5}),
    "BagOfWords": ((30,), {"idf": torch.arange(30.0)}),
    "SpikingLanguageModel": ((30,), {"embedding_size": 8, "neurons": 8, "layers": 1}),
    "RecurrentLanguageModel": ((30,), {"embedding_size": 8, "hidden_size": 8}),
    "TransformerLanguageModel": ((30,), {"embedding_size": 8, "heads": 2, "hidden_size": 8, "layers": 1}),
    "ConvSeq2Seq": ((30, 31), {"channels": 8, "layers": 1}),
    "RecurrentSeq2Seq": ((30, 31), {"embedding_size": 8, "hidden_size": 8, "leak": (0.5, 0.9)}),
    "SpikingRNN": ((3, 4), {"num_layers": 2, "dtype": torch.float64}),
}  # fmt: skip


def made(name):
    torch.manual_seed(0)
    arguments, options = CASES[name]
    model = getattr(hub, name)(*arguments, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    return model.eval()


@pytest.mark.parametrize("name", CASES)
def test_what_was_saved_comes_back(name, tmp_path):
    model = made(name)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    back = getattr(hub, name).from_pretrained(tmp_path)
    before, after = model.state_dict(), back.state_dict()
    assert before.keys() == after.keys() and str(back) == str(model) and not back.training
    for key, value in before.items():
        assert value.dtype == after[key].dtype and torch.equal(value, after[key]), key
    assert f"hub.{name}.from_pretrained" in (tmp_path / "README.md").read_text()
    back.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "config.json").read_text()


def test_they_are_our_models_in_all_else():
    arguments, options = CASES["SpikingClassifier"]
    model, plain = made("SpikingClassifier"), spikeseq.models.SpikingClassifier(*arguments, **options).eval()
    plain.load_state_dict(model.state_dict())
    tokens, lengths = torch.randint(1, 30, (7, 2)), torch.tensor([7, 3])

    def pickled(one):
        return pickle.loads(pickle.dumps(one))

    for change in (copy.deepcopy, pickled, spikeseq.fold_embeddings, spikeseq.compile_events):
        assert torch.equal(change(model)(tokens, lengths), change(plain)(tokens, lengths))
    spent = [measure_energy(one, [(tokens, lengths)], tokens=10)["picojoules"] for one in (model, plain)]
    assert spent[0] == spent[1]


def test_folders_of_others_are_refused(tmp_path):
    made("RecurrentClassifier").save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"holds a RecurrentClassifier; read it with spikeseq\.hub\.Recurrent"
    ):
        hub.SpikingClassifier.from_pretrained(tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(about | {"hidden_size": 6}))
    with pytest.raises(ValueError, match=f"{tmp_path}: Error.* in loading state_dict"):
        hub.RecurrentClassifier.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(about | {"width": 6}))
    with pytest.raises(ValueError, match=f"{tmp_path}: .* unexpected keyword argument 'width'"):
        hub.RecurrentClassifier.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    for kind in (hub.SpikingClassifier, hub.RecurrentClassifier):
        with pytest.raises(
            ValueError, match=r"is of no model of spikeseq: its config\.json has no 'spikeseq'"
        ):
            kind.from_pretrained(tmp_path)


def test_arguments_that_a_file_cannot_hold_are_refused():
    class Own(Surrogate):
        name = "own"

    for value in (Own(), {1, 2}):
        with pytest.raises(
            TypeError, match=r"SpikingRNN: .* cannot be kept in config.json; expected numbers"
        ):
            hub.SpikingRNN(3, 4, surrogate=value)


def test_a_model_of_transformers_with_its_lstm_swapped(tmp_path):
    transformers = pytest.importorskip("transformers")

    class SpikingEncodec(transformers.EncodecModel):
        def __init__(self, config):
            super().__init__(config)
            spikeseq.swap(self, inplace=True)

    config = transformers.EncodecConfig(
        hidden_size=8, num_filters=4, upsampling_ratios=[2, 2], codebook_size=16, codebook_dim=8,
        target_bandwidths=[24.0], num_lstm_layers=1, sampling_rate=8000,
    )  # fmt: skip
    torch.manual_seed(0)
    model = SpikingEncodec(config).eval()
    leaks = [parameter for name, parameter in model.named_parameters() if name.endswith("lif.leak")]
    assert len(leaks) == 2 and not any(isinstance(part, torch.nn.LSTM) for part in model.modules())
    with torch.no_grad():
        for leak in leaks:
            leak.fill_(0.5)
    sound = torch.randn(1, 1, 64)
    model.save_pretrained(tmp_path)
    back = SpikingEncodec.from_pretrained(tmp_path).eval()
    assert torch.equal(back(sound).audio_values, model(sound).audio_values)
    assert [float(p.detach()) for n, p in back.named_parameters() if n.endswith("lif.leak")] == [0.5, 0.5]
