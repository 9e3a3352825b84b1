"""Energy models: what each kind of operation costs. Energy is counts times prices."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikeseq.evaluation.energy.operations import COUNTS, Operations
from spikeseq.quantisation import STATE_BITS

PRICED = tuple(name for name in COUNTS if name not in ("spikes", "dense_bytes"))

MULTIPLY, ADD = 3.7, 0.9  # pJ, float32, 45 nm CMOS; thesis table 6.7, after Horowitz (2014)
MAC, AC = MULTIPLY + ADD, ADD


def whole_number(at_8: float, at_32: float, bits: int) -> float:
    """pJ of an operation on whole numbers of `bits` bits: a power law through the two that are measured.

    Horowitz (2014) has 8 and 32 bits: products 0.2 and 3.1 pJ, which is nearly the square of the width, and
    sums 0.03 and 0.1.
    """
    return float(at_8 * (bits / 8) ** (math.log(at_32 / at_8) / math.log(32 / 8)))


def int_multiply(bits: int) -> float:
    return whole_number(0.2, 3.1, bits)


def int_add(bits: int) -> float:
    return whole_number(0.03, 0.1, bits)


def int_mac(bits: int) -> float:
    """A product of two values of `bits` bits, and a 32-bit sum."""
    return int_multiply(bits) + int_add(32)


INT8_MAC = int_mac(8)  # 0.2 + 0.1
WHOLE = {
    "int8_macs": INT8_MAC, "int4_macs": int_mac(4), "int3_macs": int_mac(3), "int_acs": int_add(32),
}  # fmt: skip
LEVELS = {"8KB": 10 / 8, "32KB": 20 / 8, "1MB": 100 / 8, "DRAM": 1300 / 8}
"""pJ per byte. M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014: 45 nm,
0.9 V, accesses of 64 bits: cache of 8 KB 10 pJ, 32 KB 20 pJ, 1 MB 100 pJ; DRAM 1.3 to 2.6 nJ, here 1.3."""


@dataclass(frozen=True)
class EnergyModel:
    """Prices in pJ by the names of `operations.Operations`; what has no price is free.

    Args:
        name: of the model, for signatures.
        prices: by name.
        what: the model in words: what its prices leave out.
    Raises:
        ValueError: an unknown name, or a price that is no number from 0 on.
    """

    name: str
    prices: Mapping[str, float]
    what: str = ""

    def __post_init__(self) -> None:
        for name, price in self.prices.items():
            if name not in PRICED:
                raise ValueError(f"{name!r} has no price; what can have one is {', '.join(PRICED)}")
            if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < float("inf"):
                raise ValueError(f"the price of {name} must be a number of pJ, got {price!r}")

    def energy(self, counts: Operations) -> float:
        """Picojoules."""
        return sum(price * getattr(counts, name) for name, price in self.prices.items())

    @property
    def signature(self) -> str:
        """Everything a figure depends on but the counts."""
        constants = ", ".join(f"{name} {price:g}" for name, price in self.prices.items())
        return f"{self.name}: {self.what}{'; ' if self.what else ''}pJ: {constants}"


THESIS = EnergyModel(
    "thesis",
    {"macs": MAC, "acs": AC, **WHOLE},
    "eq. 6.3-6.8, 45 nm, measured; without biases, neuron updates, normalisation and memory",
)
"""The thesis's, and for models of few bits the price of their products, with a 32-bit sum."""


def full(level: str = "32KB") -> EnergyModel:
    """Operations of all kinds, and all memory traffic at one level of the memory hierarchy.

    No cache is assumed: a weight is fetched for every use, by all models alike, as where one sequence is
    processed token by token.

    Args:
        level: "8KB", "32KB", "1MB" or "DRAM".
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    byte = LEVELS[level]
    return EnergyModel(
        f"full at {level}",
        {
            "macs": MAC, "acs": AC, **WHOLE, "updates": MULTIPLY + 2 * ADD,
            "multiplies": MULTIPLY, "adds": ADD,
            "int_updates": int_multiply(STATE_BITS) + 2 * int_add(STATE_BITS),
            "int_multiplies": int_multiply(STATE_BITS), "int_adds": int_add(STATE_BITS),
            "weight_bytes": byte, "state_bytes": byte, "activation_bytes": byte,
        },
        "all operations and all reads and writes, each use a fetch",
    )  # fmt: skip


def read_prices(path: Path) -> EnergyModel:
    """A table of one's own: a YAML file of names and pJ.

    Raises:
        ValueError: naming the file and what is wrong with it. OSError: it cannot be read.
    """
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} must hold prices by name, such as 'macs: 4.6'")
    try:
        return EnergyModel(path.stem, content, "prices of your own")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_energy_model(name: str) -> EnergyModel:
    """ "thesis", "full" (or "full:DRAM"), or the path of a table of prices."""
    if name == "thesis":
        return THESIS
    kind, _, level = name.partition(":")
    if kind == "full":
        return full(level) if level else full()
    if not Path(name).is_file():
        raise ValueError(f"energy model must be thesis, full, full:LEVEL or a YAML file, got {name!r}")
    return read_prices(Path(name))
