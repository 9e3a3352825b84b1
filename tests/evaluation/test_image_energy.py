import pytest

from spikeseq.evaluation.image_energy import table_5_3, table_5_3_rows


def test_the_formula_of_table_5_3():
    dense = {"a": {"macs": 10.0}, "b": {"macs": 60.0}, "c": {"macs": 30.0}, "d": {"adds": 5.0}}
    spiking = {"network.a": {"macs": 10.0}, "network.b": {"acs": 12.0}, "network.c": {"acs": 15.0}}
    found = table_5_3(spiking, dense)
    assert found["first"] == pytest.approx(0.1)
    assert found["operations"] == pytest.approx(27 / 90)
    assert found["ratio"] == pytest.approx(4.6 * 100 / (4.6 * 10 + 0.9 * 27))


def test_lines_beside_the_thesis():
    runs = {
        "ann": {"energy": {}, "test": {"accuracy": 90.0}},
        "snn": {"energy": {"table_5_3": {"operations": 0.14, "first": 0.029, "ratio": 18.0}}, "test": {}},
    }
    rows = table_5_3_rows(runs)
    assert [row["model"] for row in rows][:2] == ["snn", "thesis 5.3: VGG6, CIFAR10"]
    assert rows[0]["ratio"] == rows[1]["ratio"] == "18.0"
    assert table_5_3_rows({"ann": runs["ann"]}) == []
