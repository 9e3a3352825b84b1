"""The thesis's energy tables, recomputed: which of its figures follow from which arithmetic."""

import pytest

from spikeseq.evaluation.energy.thesis import TABLE_5_3, TABLE_6_8, TABLE_6_9, UNROUNDED_SNN, table_5_3_ratio


@pytest.mark.parametrize("name", TABLE_5_3)
def test_table_5_3_follows_from_its_formula(name):
    operations, first, printed = TABLE_5_3[name]
    assert table_5_3_ratio(operations, first) == pytest.approx(printed, abs=0.06)


def test_table_6_8_follows_if_the_spike_rate_scales_the_first_layers_macs():
    lstm = TABLE_6_8["lstm"]
    assert lstm.energy / UNROUNDED_SNN.with_scaled_macs == pytest.approx(42.15, abs=0.005)
    assert lstm.normalised == 42.1
    assert lstm.with_scaled_macs / UNROUNDED_SNN.with_scaled_macs == pytest.approx(42.15, abs=0.005)


def test_table_6_8_by_the_equations():
    assert TABLE_6_8["lstm"].energy / TABLE_6_8["snn"].energy == pytest.approx(17.5, abs=0.1)
    assert TABLE_6_8["lstm"].energy / UNROUNDED_SNN.energy == pytest.approx(17.9, abs=0.05)


@pytest.mark.parametrize("name", TABLE_6_9)
def test_table_6_9_follows_if_the_acs_are_left_out(name):
    ratio = TABLE_6_9[name].without_acs / TABLE_6_9["convsnn(5)"].without_acs
    assert ratio == pytest.approx(TABLE_6_9[name].normalised, abs=0.05)


def test_table_6_9_by_the_equations():
    energy = {name: row.energy for name, row in TABLE_6_9.items()}
    assert energy["gru"] / energy["convsnn(5)"] == pytest.approx(7.7, abs=0.05)
    assert energy["conv(10)"] / energy["convsnn(5)"] == pytest.approx(7.7, abs=0.05)
    assert energy["conv(5)"] / energy["convsnn(5)"] == pytest.approx(3.8, abs=0.05)
    assert energy["conv(10)"] / energy["convsnn(10)"] == pytest.approx(6.1, abs=0.05)
