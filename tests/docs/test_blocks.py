"""Every Python block of a page runs, after what the page takes as given, one after the other."""

import doctest
import shutil

import numpy as np
import pytest
import torch
from pages import PAGES, ROOT, blocks
from torch import nn

import spikeseq
from spikeseq.evaluation.reliability.kills import train_tiny
from spikeseq.models.sequence import build_sequence_classifier

OLD = ROOT / "tests" / "data" / "old_runs"
NOT_RUN = {
    ("docs/exchange.md", 0): "needs norse: tests/exchange, by make test-thirdparty",
    ("docs/exchange.md", 1): "an environment of its own: tests/deploy/test_onnx.py",
    ("docs/exchange.md", 2): "compiles for minutes: tests/deploy, with SPIKESEQ_COMPILED=1",
    ("docs/pytorch.md", 1): "needs opacus: tests/nn/test_private.py",
    ("docs/hub.md", 0): "fetches from the hub: tests/recipes/shipped/test_hub.py",
    ("docs/hub.md", 1): "pushes to the hub: tests/test_hub.py",
    ("docs/hub.md", 2): "a whole model of transformers: tests/test_hub.py",
}
FOUND = {page: found for page in PAGES if (found := blocks(page, "python"))}


class Batch:
    def __init__(self):
        self.x, self.y = torch.randn(6, 4, 8), torch.randn(6, 4, 5)


class Outputs(nn.Module):
    """Somebody's model with an LSTM in it."""

    def __init__(self, size=8):
        super().__init__()
        self.rnn, self.readout = nn.LSTM(size, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.readout(self.rnn(x)[0])


def recording():
    events = np.zeros(200, dtype=[("x", "i2"), ("y", "i2"), ("p", "i1"), ("t", "i8")])
    events["t"] = np.arange(200) * 1000
    return events


def given(page):
    """What a page takes as given."""
    x, lengths, events = torch.randn(6, 4, 8), torch.tensor([6, 3, 1, 2]), recording()
    names = {"torch": torch, "nn": nn, "spikeseq": spikeseq, "x": x, "lengths": lengths, "events": events}
    frames = torch.rand(2, 4, 3, 32, 32)
    return names | {
        "README.md": lambda: {"your_model": Outputs(100)},
        "docs/index.md": lambda: {"your_model": Outputs()},
        "docs/energy.md": lambda: {
            "model": spikeseq.models.SpikingClassifier(20), "tokens": torch.randint(1, 20, (6, 4)),
        },
        "docs/exchange.md": lambda: {"x": torch.randn(6, 4, 100)},
        "docs/from-lstm-to-spikes.md": lambda: {
            "model": Outputs(), "criterion": nn.functional.mse_loss, "batches": [Batch(), Batch()],
            "layer": spikeseq.nn.SpikingRNN(8, 16),
        },
        "docs/pytorch.md": lambda: {
            "model": nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3)), "inputs": torch.randn(4, 8),
            "labels": torch.tensor([0, 1, 2, 0]),
        },
        "docs/recipes/dvs128.md": lambda: {"camera": [events]},
        "docs/recipes/images.md": lambda: {
            "images": frames[0], "frames": frames, "more": frames, "calibration_batches": [frames[1]],
        },
        "docs/recipes/sequences.md": lambda: {
            "model": build_sequence_classifier({"name": "snn", "neurons": 8, "embedding_size": 8}, 3),
            "rows": torch.rand(8, 2, 1), "later": torch.rand(8, 2, 1),
        },
        "docs/recipes/stdp.md": lambda: {
            "hertz": torch.rand(3, 784), "new_hertz": torch.rand(3, 784), "targets": torch.tensor([1, 4, 9]),
        },
    }.get(page, dict)()  # fmt: skip


@pytest.fixture(scope="module")
def runs(session_cache, text_runs, tmp_path_factory):
    """A folder with runs of the names that pages use."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "runs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKESEQ_CACHE", str(session_cache))
        train_tiny("lm", folder / "runs" / "lm-snn-1")
    shutil.copytree(text_runs / "snn", folder / "runs" / "imdb-snn-1")
    shutil.copytree(OLD / "multi30k-conv", folder / "runs" / "multi30k-conv-snn-snn-1")
    shutil.copytree(OLD / "dvs128-frames", folder / "runs" / "dvs128-snn-frames-1")
    (folder / "mine.txt").write_bytes(b"ada has a red kite. " * 300)
    return folder


@pytest.mark.parametrize("page", FOUND)
def test_blocks(page, runs, monkeypatch):
    monkeypatch.chdir(runs)
    torch.manual_seed(0)
    names = given(page)
    for number, block in enumerate(FOUND[page]):
        if (page, number) in NOT_RUN:
            continue
        if block.startswith(">>>"):
            example = doctest.DocTestParser().get_doctest(block, names, page, page, number)
            result = doctest.DocTestRunner().run(example, clear_globs=False)
            assert result.failed == 0
        else:
            exec(compile(block, f"{page}, block {number}", "exec"), names)


def test_what_is_not_run_is_there():
    assert all(number < len(FOUND[page]) for page, number in NOT_RUN)
