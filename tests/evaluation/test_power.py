"""The energy counter of a machine that there is only in files."""

import pytest

from spikeseq.evaluation import power
from spikeseq.evaluation.power import Meter, NoCounter, measure, told, zones


class Machine:
    """A folder as the kernel shows it, whose counters tick as `draw` says."""

    def __init__(self, root, most=10**9):
        self.root, self.most, self.now, self.sizes = root, most, 0.0, {}

    def add(self, folder, name, start=0, energy=True):
        place = self.root / folder
        place.mkdir(parents=True)
        (place / "name").write_text(f"{name}\n")
        if energy:
            (place / "max_energy_range_uj").write_text(f"{self.most}\n")
            self.sizes[place] = start
            self._write(place)
        return place

    def _write(self, place):
        (place / "energy_uj").write_text(f"{int(self.sizes[place])}\n")

    def draw(self, seconds, watts):
        self.now += seconds
        for place in self.sizes:
            self.sizes[place] = (self.sizes[place] + seconds * watts * 1e6) % (self.most + 1)
            self._write(place)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "powercap")


def test_packages_and_memory_are_added_and_parts_are_not(machine):
    machine.add("intel-rapl:0", "package-0")
    machine.add("intel-rapl:0:0", "core")
    machine.add("intel-rapl:0:1", "dram")
    machine.add("intel-rapl:1", "psys")
    machine.add("intel-rapl", "control", energy=False)
    found = zones(machine.root)
    assert [zone.name for zone in found] == ["package-0", "dram"]
    meter = Meter(found)
    machine.draw(2, watts=3)
    assert meter.joules() == pytest.approx(2 * 2 * 3)
    assert meter.joules() == 0


def test_a_counter_that_begins_again_is_read_on(machine):
    machine.add("intel-rapl:0", "package-0", start=machine.most - 1_000_000)
    meter = Meter(zones(machine.root))
    machine.draw(1, watts=5)
    assert meter.joules() == pytest.approx(5)


def test_what_is_above_rest(machine):
    machine.add("intel-rapl:0", "package-0", start=machine.most - 7_000_000)
    found = measure(
        lambda: machine.draw(0.25, watts=30), zones(machine.root), repeats=3, seconds=1.0,
        clock=lambda: machine.now, wait=lambda seconds: machine.draw(seconds, watts=10),
    )  # fmt: skip
    assert found["watts_at_rest"] == pytest.approx(10)
    assert found["joules"] == pytest.approx({"mean": 7.5, "least": 7.5, "most": 7.5})
    assert found["joules_above_rest"]["mean"] == pytest.approx(5)
    assert (found["calls"], found["seconds"]) == (12, pytest.approx(0.25))
    assert told(found) == (
        "7.5 J a sentence (7.5 to 7.5), 5 J above the 10 W at rest; 12 calls of 250 ms; package-0"
    )


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "no counter"])
def test_no_counter_is_told_in_a_line(machine, there):
    if there:
        machine.add("intel-rapl:0", "package-0", energy=False)
    with pytest.raises(NoCounter, match=r"shows no energy .* has no counter of a processor") as told:
        zones(machine.root)
    assert "\n" not in str(told.value)


def test_a_counter_for_root_alone_is_told(machine, monkeypatch):
    machine.add("intel-rapl:0", "package-0")

    def closed(self):
        raise PermissionError

    monkeypatch.setattr(power.Zone, "read", closed)
    with pytest.raises(NoCounter, match="intel-rapl:0 can be read by root alone"):
        zones(machine.root)
