import pytest

from spikeseq.evaluation.energy.operations import Operations
from spikeseq.evaluation.energy.prices import THESIS, EnergyModel, full, parse_energy_model

COUNTS = Operations(
    macs=10, acs=100, updates=20, multiplies=3, adds=4, weight_bytes=440, state_bytes=160, activation_bytes=80
)


def test_the_thesis_counts_macs_and_acs():
    assert THESIS.energy(COUNTS) == pytest.approx(10 * 4.6 + 100 * 0.9)
    assert "macs 4.6" in THESIS.signature and "acs 0.9" in THESIS.signature


@pytest.mark.parametrize(("level", "byte"), [("8KB", 1.25), ("32KB", 2.5), ("1MB", 12.5), ("DRAM", 162.5)])
def test_full_adds_updates_and_memory(level, byte):
    operations = 10 * 4.6 + 100 * 0.9 + 20 * 5.5 + 3 * 3.7 + 4 * 0.9
    assert full(level).energy(COUNTS) == pytest.approx(operations + byte * 680)
    assert level in full(level).signature
    assert parse_energy_model(f"full:{level}") == full(level)


def test_a_table_of_ones_own(tmp_path):
    table = tmp_path / "loihi.yaml"
    table.write_text("acs: 2.0\nupdates: 1\n")
    model = parse_energy_model(str(table))
    assert model.energy(COUNTS) == 220 and model.signature.startswith("loihi: ")
    assert parse_energy_model("thesis") == THESIS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("spikes: 1", "'spikes' has no price; what can have one is macs"),
        ("acs: cheap", "the price of acs must be a number of pJ, got 'cheap'"),
        ("acs: -1", "the price of acs must be a number of pJ, got -1"),
        ("acs: true", "got True"),
        ("", "must hold prices by name"),
        ("[", "is not YAML"),
    ],
)
def test_tables_that_cannot_be(tmp_path, content, message):
    table = tmp_path / "mine.yaml"
    table.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        parse_energy_model(str(table))
    assert str(table) in str(caught.value)


def test_unknown_names():
    with pytest.raises(ValueError, match="energy model must be thesis, full, full:LEVEL or a YAML file"):
        parse_energy_model("loihi")
    with pytest.raises(ValueError, match="level must be one of 8KB, 32KB, 1MB, DRAM, got 'L1'"):
        parse_energy_model("full:L1")
    with pytest.raises(ValueError, match="'watts' has no price"):
        EnergyModel("mine", {"watts": 1.0})
