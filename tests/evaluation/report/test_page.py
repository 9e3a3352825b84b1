"""The page of `spikeseq report`: what it holds, that it needs nothing else, and how a browser shows it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from recipe_case import TRANSLATION, before_manifests, quick, refused, write_rows

from spikeseq.recipes.config import load_config
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def runs(training):
    for model in ("snn", "lstm", "bow"):
        train(load_config("imdb", model=model, overrides=quick(model)), training / model)
    train(load_config("multi30k", model="conv-snn-snn", overrides=TRANSLATION), training / "translation")
    return training


class Page(HTMLParser):
    """Tags, headings and words of a page; every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.pictures, self.links, self.words = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("src", "href", "xlink:href") if name in attributes]
        if tag == "svg":
            self.pictures.append(attributes)
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_a_page_about_runs_side_by_side(cli, runs, tmp_path):
    out = tmp_path / "report.html"
    text = "A <b>fine</b> film & more"
    done = cli("report", runs / "snn", runs / "lstm", runs / "bow", "--out", out, "--text", text)
    assert done.code == 0 and f"wrote {out}" in done.err
    page = Page(out.read_text())
    assert page.headings == [
        "Results", "Energy", "Learning", "Energy per token", "Score against energy", "Spike rates: snn",
        "Leak and threshold: snn", "Word by word: snn", "Spikes: snn", "Word by word: lstm", "Made by",
    ]  # fmt: skip
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 20 for picture in page.pictures)
    assert all(link.startswith("#") for link in page.links)  # nothing from elsewhere
    whole = "".join(page.words)
    assert "thesis 6.8: snn" in whole and "lstm, int8" in whole and text in whole
    assert re.search(
        r"train imdb --model lstm --data sample --seed 1 --out \S+/lstm --set data.limit=120", whole
    )


def test_a_page_about_a_translation(cli, runs, tmp_path):
    out = tmp_path / "report.html"
    assert cli("report", runs / "translation", "--out", out).code == 0
    page = Page(out.read_text())
    assert "Attention: translation" in page.headings and "Spikes: translation" in page.headings
    assert "thesis 6.9: convsnn(5)" in "".join(page.words)


def test_what_cannot_be_reported(cli, runs, tmp_path):
    assert "takes an .html file" in refused(cli("report", runs / "snn", "--out", tmp_path / "report.pdf"))
    mixed = refused(cli("report", runs / "snn", runs / "translation", "--out", tmp_path / "r.html"))
    assert mixed == "a report is about runs of one recipe, got imdb, multi30k"
    assert "is not a run folder" in refused(cli("report", tmp_path, "--out", tmp_path / "r.html"))
    assert not (tmp_path / "r.html").exists()


@pytest.mark.skipif(BROWSER is None, reason="no browser")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it(cli, runs, tmp_path, width):
    """Nothing is wider than the window but what scrolls by itself, and every plot has a size."""
    out = tmp_path / "report.html"
    assert cli("report", runs / "snn", runs / "lstm", "--out", out).code == 0
    script = """<script>addEventListener("load", () => {
      const plots = [...document.querySelectorAll("figure svg")];
      document.body.dataset.found = [document.documentElement.scrollWidth <= innerWidth,
        plots.length, plots.every(p => p.getBoundingClientRect().height > 50)].join(" ");
    });</script>"""
    probe = tmp_path / "probe.html"
    probe.write_text(out.read_text().replace("</body>", f"{script}</body>"))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    # A window cannot be as narrow as a phone, a frame in it can.
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe src="probe.html" width="{width}" height="900"></iframe>')
    reader = """<script>onload = () => setTimeout(() => { document.title =
      document.querySelector("iframe").contentDocument.body.dataset.found }, 500)</script>"""
    frame.write_text(frame.read_text() + reader)
    options += ["--allow-file-access-from-files", "--virtual-time-budget=8000", "--dump-dom"]
    done = subprocess.run(
        [BROWSER, *options, frame.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found and found[1] == "true 8 true", done.stdout[-500:] + done.stderr[-500:]


def test_runs_that_cannot_be_compared(cli, runs, tmp_path):
    train(
        load_config("imdb", model="bow", overrides=[*quick("bow"), "evaluate.split=validation"]),
        tmp_path / "run",
    )
    message = refused(cli("report", runs / "bow", tmp_path / "run", "--out", tmp_path / "r.html"))
    assert message == "runs on different split cannot be compared: test, validation"
    # Case 4.8, of the report: the same file, other rows of it.
    few = tmp_path / "few"
    before_manifests(shutil.copytree(runs / "bow", few))
    metrics = json.loads((few / "metrics.json").read_text())
    metrics["used"]["data.limit"] = 7
    (few / "metrics.json").write_text(json.dumps(metrics))
    message = refused(cli("report", runs / "bow", few, "--out", tmp_path / "r.html"))
    assert message == "runs on different data.limit cannot be compared: 120, 7"


def test_a_damaged_log_is_named(cli, runs, tmp_path):
    folder = before_manifests(shutil.copytree(runs / "bow", tmp_path / "run"))
    (folder / "log.jsonl").write_text("{")
    assert f"{folder / 'log.jsonl'} is damaged" in refused(
        cli("report", folder, "--out", tmp_path / "r.html")
    )


def test_settings_are_printed_as_a_shell_takes_them(cli, runs, tmp_path):
    out = tmp_path / "r.html"
    assert cli("report", runs / "translation", "--out", out).code == 0
    assert "--set evaluate.beam=2" in "".join(Page(out.read_text()).words)
    settings = [*quick("snn"), "data.vectors=null", "train.learning_rate=0.01"]
    train(
        load_config("imdb", model="snn", data=str(write_rows(tmp_path / "x.csv")), overrides=settings),
        tmp_path / "r",
    )
    assert cli("report", tmp_path / "r", "--out", out).code == 0
    assert "--data DATA" in out.read_text() and "data.vectors=null" in out.read_text()
