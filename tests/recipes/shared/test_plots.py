import json

import pytest
import torch
from matplotlib import image, pyplot

from spikeseq.recipes.shared import plots
from spikeseq.recipes.shared.plots import plot_history, plot_trace


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    """Every figure that was drawn; they are closed, or a long session would keep them all."""
    drawn = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: (drawn.append(figure), save(figure, path)))
    yield drawn
    assert pyplot.get_fignums() == []


def test_learning_curves(tmp_path, figures):
    records = [{"epoch": i, "loss": 1 / i, "validation": {"score": 50 + i}} for i in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert plot_history(tmp_path) == tmp_path / "learning.png"
    assert image.imread(tmp_path / "learning.png").shape[1] > 500
    left, right = figures[0].axes
    assert left.lines[0].get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert right.lines[0].get_ydata().tolist() == [51, 52, 53]
    assert left.get_xlabel() == "epoch" and right.get_ylabel() == "validation score"


def test_no_history_is_no_picture(tmp_path):
    assert plot_history(tmp_path) is None and not list(tmp_path.iterdir())


def test_a_trace_of_two_classes_is_their_difference(tmp_path, figures):
    tokens = ["It", "cost", "$5", "and", "$6", "_{x", "\\alpha", "电影", "not"]
    logits = torch.randn(len(tokens), 2)
    plot_trace(tmp_path / "trace.png", tokens, logits, ["neg", "pos"])
    (axes,) = figures[0].axes
    assert axes.lines[0].get_ydata() == pytest.approx((logits[:, 1] - logits[:, 0]).tolist())
    labels = [label.get_text().replace("\\$", "$") for label in axes.get_xticklabels()]
    assert labels == tokens
    assert "neg" in axes.get_ylabel() and "pos" in axes.get_ylabel()


def test_a_trace_of_more_classes_names_each(tmp_path, figures):
    plot_trace(tmp_path / "trace.svg", ["one"], torch.randn(1, 3), ["a", "b", "c"])
    (axes,) = figures[0].axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
    assert (tmp_path / "trace.svg").read_bytes().startswith(b"<?xml")


def test_a_long_text_is_still_a_picture(tmp_path):
    plot_trace(tmp_path / "trace.PNG", ["word"] * 400, torch.randn(400, 2), ["neg", "pos"])
    assert image.imread(tmp_path / "trace.PNG").shape[1] <= 40 * 120


def test_a_picture_that_cannot_be_written_leaves_the_former(tmp_path):
    path = tmp_path / "nowhere" / "trace.png"
    with pytest.raises(OSError, match=r"cannot write .*nowhere"):
        plot_trace(path, ["a"], torch.zeros(1, 2), ["neg", "pos"])
