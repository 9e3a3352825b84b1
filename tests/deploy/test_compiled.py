"""Compiled packages. What calls the C++ compiler runs with `make test-thirdparty`."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from spikeseq.deploy import SCHEMA, agreement, open_pt2, to_pt2
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
def test_other_lengths_and_batches_and_a_process_without_this_package(tmp_path):
    torch.manual_seed(0)
    model = SpikingClassifier(50, embedding_size=8, hidden_size=12, substeps=3)
    nn.init.normal_(model.readout.weight)
    exported = to_pt2(model, tmp_path / "model.pt2")
    assert agreement(exported, open_pt2(tmp_path / "model.pt2")).largest < 1e-4
    command = [sys.executable, "-c", WITHOUT_US, str(tmp_path / "model"), SCHEMA]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 2)", done.stderr


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.pt2, got model\.so"):
        to_pt2(SpikingClassifier(5), tmp_path / "model.so")


def test_the_declaration_is_the_ops():
    again = torch._C.parse_schema(f"spikeseq::{SCHEMA}")
    assert str(again) == str(torch.ops.spikeseq.lif.default._schema)
