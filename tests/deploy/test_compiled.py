"""Compiled packages. What calls the C++ compiler runs with `make test-thirdparty`."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from spikeseq.deploy import FEEDBACK_SCHEMA, SCHEMA, agreement, open_pt2, to_pt2
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.models.sentiment import SpikingClassifier

WITHOUT_US = """
import sys, torch
sys.modules["spikeseq"] = None
ops = torch.library.Library("spikeseq", "DEF")
ops.define(sys.argv[2])
torch.ops.load_library(sys.argv[1] + ".so")
model = torch._inductor.aoti_load_package(sys.argv[1] + ".pt2")
print(tuple(model(torch.ones(9, 2, dtype=torch.int64), torch.tensor([9, 4])).shape))
"""


@pytest.mark.skipif("SPIKESEQ_COMPILED" not in os.environ, reason="compiles for a minute")
def test_other_lengths_and_batches_and_a_process_without_this_package(tmp_path, recwarn):
    torch.manual_seed(0)
    model = SpikingClassifier(50, embedding_size=8, hidden_size=12, substeps=3)
    nn.init.normal_(model.readout.weight)
    exported = to_pt2(model, tmp_path / "model.pt2")
    assert not recwarn.list  # torch's own are not for who exports
    assert agreement(exported, open_pt2(tmp_path / "model.pt2")).largest < 1e-4
    command = [sys.executable, "-c", WITHOUT_US, str(tmp_path / "model"), SCHEMA]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 2)", done.stderr


@torch.no_grad()
@pytest.mark.skipif("SPIKESEQ_COMPILED" not in os.environ, reason="compiles for a minute")
@pytest.mark.parametrize("kind", ["language", "feedback", "pieces"])
def test_a_state_in_and_out(tmp_path, kind):
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "neurons": 12, "layers": 2, "substeps": 2}
    if kind == "pieces":
        model = SpikingClassifier(50, embedding_size=8, hidden_size=12, kernel_size=3)
        nn.init.normal_(model.readout.weight)
    elif kind == "feedback":
        model = SpikingLanguageModel(30, **sizes, recurrent=True)
    else:
        model = SpikingLanguageModel(30, **sizes, kernel_size=2, ngrams=(2, 3), decay="input")
    exported = to_pt2(model, tmp_path / "model.pt2", streaming=kind == "pieces")
    run = open_pt2(tmp_path / "model.pt2")
    assert agreement(exported, run).largest < 1e-4
    with pytest.raises(TypeError, match="tokens must be int64 of 2 dimensions, got int32"):
        run(*(one.int() for one in exported.module.example(4, 2)))
    with pytest.raises(
        ValueError, match=r"tokens must lie in \[0, \d9\], got -1"
    ):  # which would end the process
        tokens, *others = exported.module.example(4, 2)
        run(-torch.ones_like(tokens), *others)
    tokens, state = torch.randint(1, 30, (9, 2)), [one for _, one in exported.module.rest(2)]
    for piece in tokens.split([2, 1, 6]):
        given = (piece, torch.full((2,), len(piece))) if kind == "pieces" else (piece,)
        logits, *state = run(*given, *state)
    whole = model(tokens, torch.tensor([9, 9])) if kind == "pieces" else model(tokens)[0][-6:]
    assert torch.allclose(logits, whole, atol=1e-4)


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.pt2, got model\.so"):
        to_pt2(SpikingClassifier(5), tmp_path / "model.so")


def test_files_that_are_none(tmp_path):
    (tmp_path / "no.pt2").write_text("no")
    with pytest.raises(ValueError, match=r"^torch .* cannot open no\.pt2: ."):
        open_pt2(tmp_path / "no.pt2")


@pytest.mark.parametrize(("op", "schema"), [("lif", SCHEMA), ("lif_recurrent", FEEDBACK_SCHEMA)])
def test_the_declaration_is_the_ops(op, schema):
    again = torch._C.parse_schema(f"spikeseq::{schema}")
    assert str(again) == str(getattr(torch.ops.spikeseq, op).default._schema)
