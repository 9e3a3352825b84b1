"""Models built by name from a mapping: what stands in it is used, or refused by name."""

import pytest
from torch import nn

import spikeseq
from spikeseq.models import CLASSIFIERS, build_classifier
from spikeseq.models.backbones import build_backbone
from spikeseq.models.gesture import build_gesture_network
from spikeseq.models.language import LANGUAGE_MODELS, SpikingLanguageModel, build_language_model
from spikeseq.models.seq2seq import build_seq2seq
from spikeseq.nn import LIF, NormalisedLIF, SpikingActivation, SpikingConvBlock, SpikingRNN, SpikingRNNCell

BUILT = {
    **{f"classifier {name}": (lambda c: build_classifier(c, 9, 2), name) for name in CLASSIFIERS},
    **{f"language {name}": (lambda c: build_language_model(c, 9), name) for name in LANGUAGE_MODELS},
    **{
        f"seq2seq {name}": (lambda c: build_seq2seq(c, 9, 9), name)
        for name in ("conv-snn-ann", "conv-ann-ann", "attention-snn-snn", "vanilla-gru-lstm")
    },
}


@pytest.mark.parametrize("what", BUILT)
def test_an_argument_that_a_model_has_not_is_named_with_those_that_it_has(what):
    build, name = BUILT[what]
    with pytest.raises(TypeError, match=rf"^{name} takes no 'leek'; it takes \w+"):
        build({"name": name, "leek": 0.9})
    with pytest.raises(TypeError, match=r"takes no '(kind|encoder)'"):  # the name says it
        build({"name": name, "encoder" if "-" in name else "kind": "snn"})
    with pytest.raises(ValueError, match=r"^model must be one of \w.*, got None"):
        build({"leak": 0.9})
    with pytest.raises(TypeError, match=r"^the model must be a mapping .*, got \['snn'\]"):
        build(["snn"])


def test_a_language_model_by_its_name_alone():
    sizes = {"embedding_size": 4, "neurons": 8}
    built = build_language_model({"name": "snn", **sizes}, 9)
    for (name, a), (_, b) in zip(
        built.state_dict().items(), SpikingLanguageModel(9, **sizes).state_dict().items(), strict=True
    ):
        assert a.shape == b.shape and (not name.endswith("leak") or a.sort()[0].equal(b.sort()[0]))


NEURONS = {
    "LIF": LIF,
    "LIF.like": lambda **given: LIF.like("snntorch", **given),
    "NormalisedLIF": lambda **given: NormalisedLIF(4, substeps=2, **given),
    "SpikingActivation": SpikingActivation,
    "SpikingConvBlock": lambda **given: SpikingConvBlock(4, **given),
    "SpikingRNN": lambda **given: SpikingRNN(3, 4, **given),
    "SpikingRNNCell": lambda **given: SpikingRNNCell(3, 4, **given),
    "backbone": lambda **given: build_backbone("lenet", activation="spiking", **given),
    "gestures": lambda **given: build_gesture_network("snn", **given),
    "swap": lambda **given: spikeseq.swap(nn.GRU(3, 4), **given),
}


@pytest.mark.parametrize("what", NEURONS)
def test_an_argument_that_neurons_have_not_is_named_with_those_that_they_have(what):
    with pytest.raises(TypeError, match=r"^neurons take no 'leek'; they take substeps, leak, threshold, .*"):
        NEURONS[what](leek=0.9)
