"""Models of reports, made by hand after the results in docs/results/energy.md, and recipes that rank them."""

from types import SimpleNamespace

from spikeseq.evaluation.report.models import Model

ACCURACY = SimpleNamespace(figure="accuracy", points="points", lower_is_better=False, unit="token")
BLEU = SimpleNamespace(figure="bleu_tok_lc", points="BLEU", lower_is_better=False, unit="token")
BITS = SimpleNamespace(figure="bits_per_byte", points="bits per byte", lower_is_better=True, unit="token")


def model(run, form="", score=90.0, compute=1.0, memory=10.0, key=None):
    """A run whose name begins with that of its model: "snn-1". memory: nJ at 8 KB, ten times that in DRAM."""
    key = key or run.split("-")[0]
    kind = "spiking" if key in ("snn", "convert", "diet") else "conventional"
    levels = {} if memory is None else {"8KB": memory, "DRAM": 10 * memory}
    return Model(run, form, kind, key, score, compute, levels)


SNN = [model("snn-1", "", 90.2, 31.18, 91.3), model("snn-1", "folded", 90.2, 1.74, 28.3)]
WIDE = [model("snn-2", "", 90.55, 63.1, 180.0), model("snn-2", "folded", 90.55, 4.22, 73.3)]
LSTM = [
    model("lstm-1", "", 91.35, 1104.0, 2326.0),
    model("lstm-1", "folded", 91.35, 736.0, 1560.0),
    model("lstm-1", "int8", 91.34, 72.0, 400.0),
]
SMALL = [model("lstm-16", "", 89.5, 34.2, 74.4), model("lstm-16", "folded", 89.5, 4.71, 11.7)]
BAG = [model("bow-1", "", 89.0, 0.00484, 0.023)]
