"""What a model may be made of, by the size of its file."""

import shutil

import pytest
import torch
from recipe_case import before_manifests
from torch import nn

from spikeseq.recipes.budget import LEAST, Budget, TooLargeError
from spikeseq.recipes.runs import RunError, load

HUGE = 10**12


@pytest.mark.parametrize(
    "make",
    [lambda: torch.empty(HUGE), lambda: torch.zeros((HUGE, 2)), lambda: torch.ones(2, HUGE),
     lambda: torch.rand(size=(HUGE,)), lambda: torch.randn([HUGE]), lambda: torch.full((HUGE,), 0.5),
     lambda: torch.arange(HUGE), lambda: torch.linspace(0, 1, HUGE), lambda: torch.eye(HUGE),
     lambda: nn.Linear(10**6, 10**6), lambda: nn.Embedding(10**7, 10**3), lambda: nn.LSTM(8, 10**7),
     lambda: [nn.Linear(1, 1) for _ in range(10**9)]],
)  # fmt: skip
def test_what_is_too_large_is_not_made(make):
    with pytest.raises(TooLargeError, match=rf"more than {LEAST + 40:,} values"), Budget(10):
        make()


def test_a_model_of_the_files_size_is_made():
    with Budget(4 * 10**6) as budget:
        nn.Linear(1000, 1000)
    assert 10**6 < budget.made < 2 * 10**6
    torch.empty(10**9, device="meta")  # outside it counts nothing


def test_settings_that_ask_for_huge_layers_are_refused_at_once(text_runs, tmp_path):
    folder = before_manifests(shutil.copytree(text_runs / "snn", tmp_path / "run"))
    path = folder / "config.yaml"
    text = path.read_text()
    assert "hidden_size: 12" in text
    path.write_text(text.replace("hidden_size: 12", "hidden_size: 900000"))
    with pytest.raises(RunError, match=r"run: config\.yaml and the files beside it ask for a model of more"):
        load(folder)
