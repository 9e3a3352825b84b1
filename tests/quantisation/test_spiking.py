"""A spiking classifier in whole numbers, beside the one that it is made of."""

import pytest
import torch

from spikeseq import fold_embeddings, project_parameters
from spikeseq.evaluation import measure_energy
from spikeseq.models import RecurrentClassifier, SpikingClassifier
from spikeseq.quantisation.spiking import quantise_spiking
from spikeseq.recipes.config import load_config
from spikeseq.recipes.text.corpus import load_corpus
from spikeseq.recipes.text.task import build_task


def classifier(**more):
    torch.manual_seed(0)
    model = SpikingClassifier(40, embedding_size=8, hidden_size=12, integrators=4, substeps=3, **more).eval()
    torch.nn.init.normal_(model.readout.weight)
    return model


def texts():
    return torch.randint(1, 40, (11, 3), generator=torch.Generator().manual_seed(1)), torch.tensor([11, 7, 1])


def test_eight_bits_answer_as_float32():
    model = classifier()
    tokens, lengths = texts()
    ours, theirs = quantise_spiking(model, 8)(tokens, lengths), model(tokens, lengths)
    assert (ours - theirs).abs().max() < 0.15 * theirs.abs().max()


@pytest.fixture(scope="module")
def trained(training):
    """A small classifier that has learnt the embedded sample somewhat, whose first leak has become 1."""
    changes = {"data.tokenizer": "whitespace", "model.embedding_size": 32, "model.hidden_size": 32}
    config = load_config("imdb", overrides=[f"{k}={v}" for k, v in changes.items()] + ["model.substeps=3"])
    task, chance = build_task(config, load_corpus(config.data)), torch.Generator()
    optimiser = torch.optim.Adam(task.model.parameters(), 0.01)
    for epoch in range(6):
        for batch in task.batches(epoch):
            optimiser.zero_grad()
            task.loss(task.model, task.collate(batch, chance)).backward()
            optimiser.step()
            project_parameters(task.model)
    return task


def test_eight_bits_of_a_trained_model_score_as_float32(trained):
    model, cpu = trained.model.eval(), torch.device("cpu")
    assert model.spiking.layers[0].lif.leak > 0.99  # membranes of 16 thresholds did not do: 4.4 points fewer
    score = trained.accuracy(model, "test", cpu)
    assert score > 65
    assert abs(trained.accuracy(quantise_spiking(model, 8), "test", cpu) - score) < 1
    tokens, lengths, _, _ = trained.collate(list(range(200)), torch.Generator())
    agree = quantise_spiking(model, 8)(tokens, lengths).argmax(1) == model(tokens, lengths).argmax(1)
    assert agree.float().mean() > 0.97


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_account_by_hand(bits):
    model = quantise_spiking(classifier(per_channel=True), bits)
    tokens, lengths = torch.randint(1, 40, (11, 1)), torch.tensor([11])
    first = model.spiking.layers[0](
        model.embedding(tokens), None, lengths=None, substeps=3, readout="spikes"
    )[0]
    account = measure_energy(model, [(tokens, lengths)], tokens=1)
    layers, updates, size = account["layers"], 11 * 3 * 12, bits / 8
    lif = layers["spiking.layers.0.lif"]
    spikes = float(first.sum())
    assert spikes > 0
    assert lif["int_updates"] == updates and lif["int_adds"] == spikes
    assert lif["state_bytes"] == 2 * 2 * updates  # 16 bits, read and written
    assert lif["weight_bytes"] == 2 * 2 * updates  # a leak and a threshold each
    assert lif["activation_bytes"] == updates / 8
    second = layers["spiking.layers.1.input_map"]
    assert second["int_acs"] == spikes * 12
    assert second["weight_bytes"] == pytest.approx(size * spikes * 12 + 2 * 33 * 12)  # a bias of 16 bits
    assert layers["embedding"]["weight_bytes"] == pytest.approx(11 * 12 * size)
    assert account["acs"] == account["macs"] - account["operations"].get("macs", 0) == 0
    assert account["not_counted"] == [] and account["guessed"] == []
    float32 = measure_energy(fold_embeddings(classifier(per_channel=True)), [(tokens, lengths)], tokens=1)
    assert account["full"]["full at 8KB"] < float32["full"]["full at 8KB"] / 2


def test_ngrams_are_rows_of_the_same_step():
    model = classifier(ngrams=[2, 3], ngram_rows=9)
    torch.nn.init.normal_(model.ngrams.table.weight, std=0.3)
    tokens, lengths = texts()
    whole = quantise_spiking(model, 8)
    assert (whole(tokens, lengths) - model(tokens, lengths)).abs().max() < 0.5
    assert whole.ngrams.table.step == whole.embedding.step
    account = measure_energy(whole, [(tokens[:, :1], lengths[:1])], tokens=1)
    counts = account["layers"]["ngrams.table"]
    assert counts["int_adds"] == counts["weight_bytes"] == 11 * 2 * 12
    assert account["not_counted"] == [] and account["guessed"] == []


@pytest.mark.parametrize(
    ("more", "message"),
    [({"kernel_size": 3}, "words one by one"), ({"recurrent": True}, "feedback, a norm and norm_input")],
    ids=["context", "feedback"],
)
def test_what_has_no_form_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        quantise_spiking(classifier(**more), 8)


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="takes a SpikingClassifier"):
        quantise_spiking(RecurrentClassifier(5, embedding_size=4, hidden_size=4), 8)
