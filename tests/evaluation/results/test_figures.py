"""Figures told by where they come from, and marks that tie them to a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_case import results

from spikeseq.evaluation.results.evidence import EvidenceError, read_evidence
from spikeseq.evaluation.results.figures import figure
from spikeseq.evaluation.results.marks import agrees, check_marks, marked


@pytest.fixture
def known(tmp_path):
    return read_evidence(results(tmp_path))[0]


@pytest.mark.parametrize(
    "text, value, seeds",
    [
        ("{imdb-snn test.accuracy}", 90.2, (90.0, 90.4)),
        ("{imdb-snn-2 test.accuracy}", 90.4, ()),
        ("{imdb-snn test.by_substep.0}", 50, (50, 50)),
        ("{imdb-lstm energy.picojoules} / 1e3", 1104.01, ()),
        ("100 - {imdb-snn test.accuracy}", 9.8, (10, 9.6)),
        ("{imdb-lstm test.accuracy} - {imdb-snn test.accuracy}", 1.15, ()),
        ("-(1 / {speed-here layer.lstm.ratio.total}) * 5", -2, ()),
    ],
    ids=["mean", "seed", "list", "scaled", "each-seed", "difference", "bench"],
)
def test_values(known, text, value, seeds):
    found = figure(text, known)
    assert found.value == pytest.approx(value) and found.seeds == pytest.approx(seeds)


@pytest.mark.parametrize(
    "text, said",
    [
        ("90.2", "names no evidence"),
        ("{imdb-gru test.accuracy}", "there is no run imdb-gru"),
        ("{imdb-snn-3 test.accuracy}", "there is no run imdb-snn of seed 3"),
        ("{imdb-snn test.bleu}", "imdb-snn has no figure test.bleu"),
        ("{imdb-snn test.accuracy} ** 2", "no expression"),
        ("{imdb-snn test.accuracy} / 0", "no expression"),
        ("__import__('os').getcwd() + {imdb-snn test.accuracy}", "no expression"),
        ("{imdb-snn test.accuracy} +", "no expression"),
    ],
    ids=["none", "run", "seed", "key", "power", "zero", "call", "half"],
)
def test_refusals(known, text, said):
    with pytest.raises(EvidenceError, match=said):
        figure(text, known)


def test_marks_are_found_with_the_number_before_them():
    text = "a 1 b 2.50 %<!-- = {x y} --> 1,938<!-- = {x z} -->\n\n<!-- = {x u} --> **5**"
    assert list(marked(text)) == [(1, "2.50", "{x y}"), (1, "1,938", "{x z}"), (3, None, "{x u}")]


@pytest.mark.parametrize(
    "text, said",
    [
        ("90.2<!-- = {imdb-snn test.accuracy} -->", None),
        ("90<!-- = {imdb-snn test.accuracy} -->", None),
        ("**1,104** nJ<!-- = {imdb-lstm energy.picojoules} / 1000 -->", None),
        ("no marks, <!-- another comment -->", None),
        ("90.3<!-- = {imdb-snn test.accuracy} -->", "p.md:1: 90.3 is 90.2 by {imdb-snn test.accuracy}"),
        ("90.20<!-- = {imdb-gru test.accuracy} -->", "p.md:1: 90.20: there is no run imdb-gru"),
        ("many<!-- = {imdb-snn test.accuracy} -->", "p.md:1: no number stands before the mark of"),
    ],
    ids=["right", "rounded", "thousands", "none", "wrong", "unknown", "number"],
)
def test_a_marked_figure_is_what_its_evidence_gives(known, tmp_path, text, said):
    (tmp_path / "p.md").write_text(text)
    found = list(check_marks(tmp_path / "p.md", "p.md", known))
    assert found == [] if said is None else len(found) == 1 and found[0].startswith(said)


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_what_a_value_is_written_as_agrees_with_it(value, places):
    written = f"{value:,.{places}f}"
    assert agrees(written, value)
    step = 10.0**-places
    assert not agrees(f"{value + 2 * step:,.{places}f}", value)
