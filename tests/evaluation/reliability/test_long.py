"""Memory while tokens pass: read from the system, constant."""

import pytest
import torch

from spikeseq.evaluation.reliability.long import POINTS, Held, resident, table, trained, written


def test_resident_sees_what_is_held():
    before = resident()
    held = torch.ones(30_000_000)
    assert resident() - before > 100e6
    del held


@pytest.mark.parametrize(("stream", "tokens"), [(written, 6000), (trained, 10_000)], ids=["write", "train"])
def test_memory_is_constant(stream, tokens):
    found = stream(tokens)
    assert found.tokens == tokens and found.state < 4000
    assert found.most - found.start < 8e6  # where states or graphs are kept it is 33e6 and 12e6


def test_the_table_says_what_a_token_costs():
    held = Held("writing", 1000, 2**20, 2**20 + 900, 16)
    assert held.per_token == pytest.approx(1.0) and POINTS == 10
    assert "| writing | 1,000 | 1.0 MB | 1.0 MB | 1.00 | 16 B |" in table([held])
    assert held._replace(most=0).per_token == 0
    assert not held.grew and held._replace(most=2**25).grew
