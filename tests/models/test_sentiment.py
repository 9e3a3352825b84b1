import pytest
import torch
from torch import nn

from spikeseq.models import CLASSIFIERS, RecurrentClassifier, SpikingClassifier, build_classifier
from spikeseq.nn import LIF
from spikeseq.recipes.config import load_config
from spikeseq.recipes.train import parameters_without_embeddings

VOCABULARY = 30
MODELS = ("snn", "snn-of-three", "snn-ngrams", "lstm", "gru", "rnn", "lstm-mean", "lstm-ngrams", "bow")


def build(name, classes=3, dtype=torch.float64):
    """A model in evaluation mode with weights that make different texts different."""
    torch.manual_seed(0)
    config = {"name": name.split("-")[0]} | (
        {} if name == "bow" else {"embedding_size": 6, "hidden_size": 10}
    )
    if name.endswith("-of-three"):
        config["kernel_size"] = 3
    if name.endswith("-ngrams"):
        config |= {"ngrams": [2, 3], "ngram_rows": 40}
    if name.endswith("-mean"):
        config["pooling"] = "mean"
    model = build_classifier(config, VOCABULARY, classes).to(dtype).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.7)
    return model


def ragged(lengths=(7, 1, 4, 7, 2)):
    torch.manual_seed(1)
    tokens = torch.randint(1, VOCABULARY, (max(lengths), len(lengths)))
    for i, length in enumerate(lengths):
        tokens[length:, i] = 0
    return tokens, torch.tensor(lengths)


@pytest.mark.parametrize("name", MODELS)
def test_padding_and_neighbours_change_nothing(name):
    model = build(name)
    tokens, lengths = ragged()
    together = model(tokens, lengths)
    assert together.shape == (5, 3)
    for i, length in enumerate(lengths):
        alone = model(tokens[:length, i : i + 1], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i])
    wider = torch.cat((tokens, torch.zeros(5, 5, dtype=torch.int64)))
    torch.testing.assert_close(model(wider, lengths), together)
    rubbish = wider.clone()
    rubbish[torch.arange(len(wider)).unsqueeze(1) >= lengths] = 9
    torch.testing.assert_close(model(rubbish, lengths), together)
    assert together.std(0).min() > 1e-3  # the texts are told apart at all


@pytest.mark.parametrize("name", [name for name in MODELS if name != "bow"])
def test_every_row_of_a_trace_is_the_text_so_far(name):
    model = build(name)
    tokens, lengths = ragged()
    trace = model.trace(tokens, lengths)
    assert trace.shape == (7, 5, 3)
    for row in range(7):
        so_far = model(tokens[: row + 1], torch.full((5,), row + 1))
        inside = row < lengths
        torch.testing.assert_close(trace[row, inside], so_far[inside])
    final = model(tokens, lengths)
    torch.testing.assert_close(trace[lengths - 1, torch.arange(5)], final)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "bow"])
def test_word_order_matters_and_for_a_bag_it_does_not(name):
    tokens, lengths = ragged((6, 6))
    for model, same in ((build(name), False), (build("bow"), True)):
        difference = (model(tokens.flip(0), lengths) - model(tokens, lengths)).abs().max()
        assert (difference < 1e-9) == same


def test_the_spiking_model_by_its_parts():
    """Embedding, two LIF layers, integrator and read-out as loops over tokens and sub-steps."""
    model = build("snn")
    tokens, lengths = ragged((4,))
    layers = model.spiking.layers
    membranes = [torch.zeros(10, dtype=torch.float64) for _ in layers]
    spikes = [torch.zeros(10, dtype=torch.float64) for _ in layers]
    integrator = torch.zeros(16, dtype=torch.float64)
    for token in tokens[:, 0]:
        for _ in range(5):
            x = model.embedding.weight[token]
            for i, layer in enumerate(layers):
                current = layer.input_map(x)
                membranes[i] = layer.lif.leak * membranes[i] + current - layer.lif.threshold * spikes[i]
                spikes[i] = (membranes[i] > layer.lif.threshold).double()
                x = spikes[i]
            integrator = integrator + model.to_integrator(x)
    expected = model.readout(integrator / 4**0.5)
    torch.testing.assert_close(model(tokens, lengths)[0], expected)


def test_a_kernel_of_three_sees_the_two_tokens_before():
    model = build("snn-of-three")
    tokens, lengths = ragged((6,))
    rows = torch.cat((torch.zeros(2, 6).double(), model.embedding(tokens)[:, 0]))
    currents = torch.stack([
        sum(rows[i + k] @ model.context.weight[k] for k in range(3)) + model.context.bias for i in range(6)
    ])  # fmt: skip
    rates, _ = model.spiking(currents.unsqueeze(1))
    total = (rates[:, 0] * 5) @ model.to_integrator.weight.t()
    torch.testing.assert_close(model(tokens, lengths)[0], model.readout(total.sum(0) / 6**0.5))
    with pytest.raises(ValueError, match="kernel_size must be"):
        build_classifier({"name": "snn", "kernel_size": 0}, 10, 2)


def test_a_kernel_of_three_starts_with_currents_of_the_same_size():
    torch.manual_seed(0)
    one, three = (SpikingClassifier(20, kernel_size=k, hidden_size=400) for k in (1, 3))
    x = torch.randn(50, 20, 100)
    expected = one.spiking.layers[0].input_map(x).std().item()
    assert three.context(x)[0][2:].std().item() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name):
    model = build(name).train()
    tokens, lengths = ragged((9, 9, 9, 8))
    nn.functional.cross_entropy(model(tokens, lengths), torch.tensor([0, 1, 2, 0])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


def test_dropout_masks_are_fixed_over_a_text():
    model = SpikingClassifier(VOCABULARY, embedding_size=50, embedding_dropout=0.5)
    seen = []
    model.spiking.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    nn.init.ones_(model.embedding.weight)
    model.train()(torch.ones(6, 4, dtype=torch.int64), torch.full((4,), 6))
    (x,) = seen
    assert (x == x[0]).all() and 0.2 < (x[0] == 0).float().mean() < 0.8
    assert not torch.equal(x[:, 0], x[:, 1])


@pytest.mark.parametrize("name", ["snn", "lstm"])
def test_dropped_words_are_padding_in_training_only(name):
    model = build_classifier({"name": name, "word_dropout": 0.3}, VOCABULARY, 2)
    seen = []
    model.embedding.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    tokens = torch.ones(300, 4, dtype=torch.int64)
    for training in (True, False):
        model.train(training)(tokens, torch.full((4,), 300))
    assert 0.2 < (seen[0] == 0).float().mean() < 0.4 and torch.equal(seen[1], tokens)
    assert (tokens == 1).all()  # the caller's own
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\)"):
        build_classifier({"name": name, "word_dropout": 1.0}, VOCABULARY, 2)


@pytest.mark.parametrize("name", ["snn", "lstm"])
def test_ngrams_start_silent_and_are_left_out_like_words(name):
    config = {"name": name, "word_dropout": 0.3, "ngrams": [2], "ngram_rows": 7, "embedding_size": 3}
    model = build_classifier(config, VOCABULARY, 2).eval()
    tokens = torch.ones(300, 4, dtype=torch.int64)
    words = model.embedding(tokens)
    assert torch.equal(model.vectors(tokens), words)
    nn.init.constant_(model.ngrams.table.weight, 5.0)
    assert torch.equal(model.vectors(tokens), words + 5)
    nn.init.zeros_(model.embedding.weight)
    left_out = (model.train().vectors(tokens) == 0).all(2).float().mean()
    assert 0.2 < left_out < 0.4


def test_ngrams_go_with_a_kernel_of_one():
    with pytest.raises(ValueError, match="ngrams go with kernel_size=1, got kernel_size=3"):
        SpikingClassifier(5, kernel_size=3, ngrams=[2])
    with pytest.raises(ValueError, match="ngrams must be ascending numbers from 2 on"):
        SpikingClassifier(5, ngrams=[1])


def test_the_default_sizes_are_the_thesis():
    snn = build_classifier(load_config("imdb", data="/x").model, 1000, 2)
    assert parameters_without_embeddings(snn) <= 35_000
    assert sum(isinstance(module, LIF) for module in snn.modules()) == 2
    assert snn.spiking.substeps == 5
    lstm = build_classifier(load_config("imdb", model="lstm", data="/x").model, 1000, 2)
    assert round(parameters_without_embeddings(lstm) / 1e6, 2) == 0.24
    bow = build_classifier(load_config("imdb", model="bow", data="/x").model, 1000, 2)
    assert parameters_without_embeddings(bow) == 2002
    of_pairs = build_classifier(load_config("imdb", data="/x").model | {"ngrams": [2]}, 1000, 2)
    plain = build_classifier(load_config("imdb", data="/x").model, 1000, 2)
    assert parameters_without_embeddings(of_pairs) == parameters_without_embeddings(plain)


def test_an_untrained_spiking_model_has_no_verdict():
    model = SpikingClassifier(VOCABULARY, 3).eval()
    logits = model(*ragged())
    torch.testing.assert_close(logits, model.readout.bias.expand(5, 3))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "bow"])
def test_a_text_without_tokens_has_a_defined_result(name):
    logits = build(name)(torch.zeros(3, 2, dtype=torch.int64), torch.tensor([0, 3]))
    assert logits.isfinite().all()


def test_names_and_arguments():
    for name in CLASSIFIERS:
        assert build_classifier({"name": name}, 5, 4)(
            torch.ones(2, 3, dtype=torch.int64), torch.tensor([2, 1, 2])
        ).shape == (3, 4)
    with pytest.raises(ValueError, match="one of snn, lstm, gru, rnn, bow, got 'mlp'"):
        build_classifier({"name": "mlp"}, 5, 2)
    with pytest.raises(ValueError, match=r"model\.surrogate must be one of .*, got 'step'"):
        build_classifier({"name": "snn", "surrogate": "step"}, 5, 2)
    with pytest.raises(ValueError, match="kind must be one of lstm, gru, rnn, got 'elman'"):
        RecurrentClassifier(5, kind="elman")
    with pytest.raises(ValueError, match="pooling must be 'last' or 'mean', got 'max'"):
        RecurrentClassifier(5, pooling="max")
    with pytest.raises(ValueError, match=r"1\.0"):
        SpikingClassifier(5, dropout=1.0)
    wide = build_classifier(
        {"name": "snn", "surrogate": "sigmoid", "surrogate_width": 2.0, "height": 0.5}, 5, 2
    )
    assert wide.spiking.layers[0].lif.surrogate.width == 2.0
