"""Compiled packages."""

import pytest
import torch

from spikeseq.deploy import SCHEMA, to_pt2
from spikeseq.models.sentiment import SpikingClassifier


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.pt2, got model\.so"):
        to_pt2(SpikingClassifier(5), tmp_path / "model.so")


def test_the_declaration_is_the_ops():
    again = torch._C.parse_schema(f"spikeseq::{SCHEMA}")
    assert str(again) == str(torch.ops.spikeseq.lif.default._schema)
