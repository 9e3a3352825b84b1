"""The page of results: what it shows of the evidence, and what its check finds."""

import subprocess
import sys
from pathlib import Path

import pytest
from results_case import kept, results

from spikeseq.evaluation.results.check import built, check

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path):
    folder = results(tmp_path)
    (folder / "README.md").write_text(built(tmp_path)[0])
    return tmp_path


def line(text, start):
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_row_says_what_it_rests_on(root):
    text, faults = built(root)
    assert faults == []
    assert line(text.partition("### Leaks")[0], "SNN") == [
        "SNN", "88.50", "90.20 (90.00 to 90.40)", "+1.70", "2",
        "[imdb-snn](runs/imdb-snn-1.json) [2](runs/imdb-snn-2.json)", "EPYC", "20", "smaller",
    ]  # fmt: skip
    assert line(text, "LSTM")[2:8] == [
        "91.35", "+2.05", "1", "*earlier*: [imdb-lstm](imdb.md)", "EPYC", "1,622"
    ]  # fmt: skip
    assert line(text, "RNN")[1:3] == ["82.90", "**not run**: needs an hour"]
    assert line(text, "the LSTM")[1:3] == ["91.35", "+1.15"]
    assert line(text, "accuracy")[1:4] == ["90.20 (90.00 to 90.40)", "91.35", "-1.15"]
    assert line(text, "time")[1:4] == ["0.40", "0.30", "+0.10"]
    assert line(text, "**all**")[1:] == ["3", "1", "1", "1", "2 of 2"]
    assert "# imdb-snn\nspikeseq train imdb --model snn --data DIR --seed 1\n" in text


def test_kept_runs_that_no_table_shows_are_listed(root):
    (root / "docs/results/runs/imdb-other-7.json").write_text(kept(7, 89.1))
    assert line(built(root)[0], "[imdb-other]")[1:] == ["accuracy 89.10", "test", "1", "EPYC", "70"]


def test_a_run_of_another_split_is_not_the_thesiss_figure(root):
    for seed in (1, 2):
        path = root / f"docs/results/runs/imdb-snn-{seed}.json"
        change(path, '"data":', '"split": "validation", "data":')
    assert "Table 1: sentiment: SNN: imdb-snn was read on validation" in built(root)[1][0]


def test_a_page_that_is_as_it_should_be_has_no_faults(root):
    assert check(root) == []


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "file, old, new, said",
    [
        ("README.md", "90.20", "90.30", ["docs/results/README.md is not what the evidence gives; run"]),
        ("imdb.md", "91.35", "91.53", [
            "docs/results/imdb.md:2: 91.53 is 91.35 by {imdb-lstm test.accuracy}",
            "runs/former.yaml: imdb-lstm: test.accuracy: 91.35 does not stand on imdb.md",
        ]),
        ("imdb.md", "1,104.01", "1,105", ["energy.picojoules: 1104010 does not stand on imdb.md"]),
        ("imdb.md", "1,104.01 nJ", "**1,104.01** nJ", ["imdb.md:2: 1,104.01 stands in bold without"]),
        ("tables.yaml", "[imdb.md]", "[other.md]", ["tables.yaml: tied: other.md cannot be read"]),
        ("tables.yaml", "run: imdb-lstm}", "run: imdb-gru}", [
            "tables.yaml: Table 1: sentiment: LSTM: there is no run imdb-gru",
            "tables.yaml: Leaks: the LSTM: there is no run imdb-gru",
            "README.md is not what",
        ]),
        ("tables.yaml", ", waits: needs an hour", "", [
            "Table 1: sentiment: RNN: no run, and no reason", "README.md is not what",
        ]),
        ("tables.yaml", "key: test.accuracy", "key: test.bleu", [
            "SNN: imdb-snn has no figure test.bleu", "", "", "", "README.md is not what",
        ]),
        ("tables.yaml", "format: 1", "format: 3", ["tables.yaml has no format 1"]),
        ("tables.yaml", "thesis:", "these:", ["tables.yaml is of another form: KeyError"]),
        ("runs/imdb-snn-1.json", "{", "", ["imdb-snn-1.json cannot be read", "imdb-snn-1", ""]),
    ],
    ids=["page", "mark", "copied", "bold", "tied", "run", "reason", "key", "tables", "form", "evidence"],
)  # fmt: skip
def test_faults_are_told_a_line_each(root, file, old, new, said):
    change(root / "docs/results" / file, old, new)
    found = check(root)
    assert all("\n" not in fault for fault in found)
    if file.startswith("runs"):
        assert said[0] in found[0]
    else:
        assert len(found) == len(said) and all(part in fault for part, fault in zip(said, found, strict=True))


def test_the_command_writes_and_checks(root, cli):
    page = root / "docs/results/README.md"
    done = cli("results", "--check", "--root", root)
    assert (done.code, done.out) == (0, "")
    page.unlink()
    done = cli("results", "--check", "--root", root)
    assert done.code == 1 and done.out.startswith("docs/results/README.md cannot be read")
    assert len(done.out.splitlines()) == 1
    done = cli("results", "--root", root, "--json")
    assert done.code == 0 and '"faults": []' in done.out and page.read_text() == built(root)[0]


def test_it_is_refused_where_there_are_no_results(tmp_path, cli):
    done = cli("results", "--root", tmp_path)
    assert done.code == 2 and "there is no folder" in done.err and len(done.err.splitlines()) == 1


def test_the_page_of_this_project_is_what_its_evidence_gives():
    """Without torch, so that nobody waits: every figure of the page and every marked one elsewhere."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom spikeseq.evaluation.results.check import check\n"
        f"print('\\n'.join(check(Path({str(ROOT)!r}))))\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_constants_that_the_page_names_are_those_of_the_account():
    from spikeseq.evaluation.energy import prices

    text = (ROOT / "docs/results/README.md").read_text(encoding="utf-8")
    assert f"(addition {prices.AC} pJ, product {prices.MULTIPLY}, both {prices.MAC:.1f})" in text
