"""The line at the end of an epoch."""

import io

import pytest
from rich.console import Console

from spikeseq.recipes.shared.progress import bars


@pytest.mark.parametrize(
    "validation, shown",
    [
        ({"score": 81.25}, "validation score 81.25, 2 s"),
        ({"score": 81.25, "accuracy": 81.25}, "validation accuracy 81.25, 2 s"),
        ({"score": -3.0, "bleu": 30.0, "perplexity": 3.0}, "validation bleu 30.00, perplexity 3.00, 2 s"),
    ],
)
def test_the_line_of_an_epoch_has_a_figure(validation, shown):
    written = io.StringIO()
    with bars(Console(file=written, width=200)) as progress:
        progress.end_epoch({"epoch": 1, "loss": 0.5, "validation": validation, "seconds": 2.0})
    assert written.getvalue() == f"epoch 1: loss 0.5000, {shown}\n"
