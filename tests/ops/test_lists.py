"""What is chosen by name stands in one list in C++ and one in Python, which must be the same."""

import re

import pytest

from spikeseq import functional
from spikeseq.functional import READOUTS, RESETS, SURROGATES
from spikeseq.ops.build import CSRC


def listed(kind: str, header: str) -> dict[str, str]:
    """The entries X(kind, name, class) of a header: classes by name."""
    text = (CSRC / header).read_text()
    return dict(re.findall(rf"X\({kind}, (\w+), (\w+)\)", text))


@pytest.mark.parametrize(
    ("kind", "header", "names"),
    [
        ("Surrogate", "surrogates.h", list(SURROGATES)),
        ("Reset", "neuron.h", list(RESETS)),
        ("Readout", "neuron.h", list(READOUTS)),
    ],
)
def test_both_languages_have_the_same_names(kind, header, names):
    found = set(listed(kind, header))
    missing, extra = set(names) - found, found - set(names)
    assert not missing, f"{sorted(missing)}: in Python, not in the list of csrc/{header} (CONTRIBUTING.md)"
    assert not extra, f"{sorted(extra)}: in the list of csrc/{header}, but not in Python (CONTRIBUTING.md)"


@pytest.mark.parametrize("cls", SURROGATES.values(), ids=list(SURROGATES))
def test_surrogates_are_public(cls):
    name = cls.__name__
    assert name in functional.__all__ and getattr(functional, name, None) is cls, (
        f"{name} is in SURROGATES, not in spikeseq/functional/__init__.py and its __all__ (CONTRIBUTING.md)"
    )


@pytest.mark.parametrize("name", SURROGATES)
def test_both_languages_remember_as_much(name):
    found = listed("Surrogate", "surrogates.h").get(name, name)
    text = (CSRC / "surrogates.h").read_text()
    planes = re.search(rf"struct {found} {{.*?kPlanes = (\d)", text, re.DOTALL)
    assert planes, f"csrc/surrogates.h has no class {found} with kPlanes"
    ours = SURROGATES[name].memory_planes
    assert int(planes[1]) == ours, f"{found}::kPlanes is {planes[1]}, memory_planes of {name} is {ours}"
    assert len(SURROGATES[name].memory_start) == ours
