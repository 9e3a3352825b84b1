"""The page of `spikeseq report`: what it holds, that it needs nothing else, and how a browser shows it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from recipe_case import TRANSLATION, before_manifests, quick, refused, write_rows

from spikeseq.evaluation.report import write_report
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


OLD = Path(__file__).resolve().parents[2] / "data" / "old_runs"


class Page(HTMLParser):
    """What stands on a page: every tag is closed, every picture is told in words, every head of a table says
    what it is the head of, and no id is there twice.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.pictures, self.links, self.words, self.scopes, self.ids = [], [], [], [], [], []
        self.said = {name: [] for name in ("h1", "h2", "summary", "caption", "desc")}
        self.feed(text)
        assert not self.open
        assert len(self.ids) == len(set(self.ids))
        assert {*self.scopes} <= {"row", "col"}
        for picture in self.pictures:
            if picture.get("role") == "img":
                labels = picture.get("aria-labelledby", "").split()
                assert {*labels} <= {*self.ids} and (labels or len(picture["aria-label"]) > 20)
            else:  # a mark in a line whose words say the same, or a part of a picture
                assert picture.get("aria-hidden") == "true" or picture["inside"]

    @property
    def whole(self):
        return "".join(self.words)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("src", "href", "xlink:href") if name in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "th":
            self.scopes.append(attributes.get("scope"))
        if tag == "svg":
            self.pictures.append({**attributes, "inside": "svg" in self.open})
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        for tag in self.said.keys() & {*self.open}:
            self.said[tag].append(data)


def test_a_page_about_runs_side_by_side(cli, runs, tmp_path):
    out = tmp_path / "report.html"
    text = "A <b>fine</b> film & more"
    done = cli("report", runs / "snn", runs / "lstm", runs / "bow", "--out", out, "--text", text)
    assert done.code == 0 and f"wrote {out}" in done.err
    page = Page(out.read_text())
    line = r"(\S+ points? (below|above)|Level with) the (LSTM|bag of words) at .* energy, .* with memory\."
    assert re.fullmatch(line, page.said["h1"][0])
    assert page.said["h2"] == ["Score against compute energy", "Words used here"]
    assert page.said["summary"] == [
        "Scores and sizes", "snn against every other run", "Energy, count by count", "Learning", "Inside snn",
        "Inside lstm", "How to make it again",
    ]  # fmt: skip
    assert "Energy per token, the cheapest first" in page.said["caption"]
    assert page.said["desc"][0].startswith("6 models. On the frontier, from the cheapest on: bow")
    assert all(link.startswith("#") for link in page.links)  # nothing from elsewhere
    assert not re.search(r"@import|url\((?!#)|<script|https?://(?!www.w3.org/)", out.read_text())
    assert out.stat().st_size < 100_000
    whole = page.whole
    assert "thesis 6.8: snn" in whole and "lstm, int8" in whole and text in whole
    assert re.search(
        r"train imdb --model lstm --data sample --seed 1 --out \S+/lstm --set data.limit=120", whole
    )


def test_a_page_about_a_translation(cli, runs, tmp_path):
    out = tmp_path / "report.html"
    assert cli("report", runs / "translation", "--out", out).code == 0
    page = Page(out.read_text())
    assert re.fullmatch(
        r"\S+ BLEU at \S+ .J of compute energy per token, \S+ .J with memory.", page.said["h1"][0]
    )
    assert "Attention. Which source words" in page.whole and "Spikes: up to 64 neurons" in page.whole
    assert "thesis 6.9: convsnn(5)" in page.whole


def test_odd_names_stand_as_they_are(cli, runs, tmp_path):
    names = ["<b>&amp;\"'{{ 7*7 }}", "\u05d0\u05d1 run\x07", "漢字" * 20]
    folders = [shutil.copytree(runs / "bow", tmp_path / str(i) / name) for i, name in enumerate(names)]
    out = tmp_path / "r.html"
    assert cli("report", *folders, "--out", out).code == 0
    page = Page(out.read_text())
    assert f"That is {names[0]} (the first run named) against" in page.whole
    assert "\u2068\u05d0\u05d1 run\ufffd\u2069" in page.whole and names[2] in page.whole
    assert f"{'漢字' * 11}漢…" in page.whole  # in the plot, in short


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["imdb-bow", "imdb-snn"],
         "1.25 points below the bag of words at 59 times its compute energy, 218 times with memory."),
        (["mnist-ann", "mnist-convert", "mnist-diet"],
         "1.67 points above the ANN at 1/1.4 of its compute energy, 2.0 times with memory."),
        (["multi30k-conv"], "1.41 BLEU at 22.7 nJ of compute energy per token, 66.1 nJ with memory."),
        (["dvs128-frames"], "9.09 % accuracy at 415 nJ of compute energy per gesture, 7.09 µJ with memory."),
    ],
    ids=["imdb", "mnist", "multi30k", "dvs128"],
)  # fmt: skip
def test_old_runs_are_reported(names, line, tmp_path):
    out = tmp_path / "r.html"
    write_report([OLD / name for name in names], out)
    assert Page(out.read_text()).said["h1"] == [line]


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
      const plots = [...document.querySelectorAll("svg[role=img]")];
      document.querySelectorAll("details").forEach(d => d.open = true);
      document.body.dataset.found = [document.documentElement.scrollWidth <= innerWidth,
        plots.length, plots.every(p => p.getBoundingClientRect().height >= 30)].join(" ");
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
    assert found and found[1] == "true 7 true", done.stdout[-500:] + done.stderr[-500:]


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
    assert "--set evaluate.beam=2" in Page(out.read_text()).whole
    settings = [*quick("snn"), "data.vectors=null", "train.learning_rate=0.01"]
    train(
        load_config("imdb", model="snn", data=str(write_rows(tmp_path / "x.csv")), overrides=settings),
        tmp_path / "r",
    )
    assert cli("report", tmp_path / "r", "--out", out).code == 0
    assert "--data DATA" in out.read_text() and "data.vectors=null" in out.read_text()
