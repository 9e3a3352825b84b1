"""Gradients through fifty layers: what the surrogate and batch normalisation of currents do for depth.

    python examples/gradient_norms.py --plot gradients.png

A fresh spiking ResNet50 (Ledinauskas et al. 2020 trained one directly) gets one batch of the embedded sample.
Printed, and drawn, is the norm of the loss's gradient by the currents of every layer, from the input to the
output: with the piecewise linear surrogate of three heights (0.3 is the thesis's), with the approximate
derivative of a LIF neuron (Lee et al. 2020), and without normalisation. Each layer multiplies the gradient by
about the height, so that only a height near 0.9 carries it through all of them. The exit status is 1 if that
one dies out or explodes.
"""

import argparse
import sys
from pathlib import Path

import torch

from spikeseq.evaluation.gradients import gradient_norms
from spikeseq.functional import ApproximateLIF, PiecewiseLinear, Surrogate
from spikeseq.models.backbones import build_backbone
from spikeseq.recipes.config import load_config
from spikeseq.recipes.images.task import normalised
from spikeseq.recipes.shared.images.data import load_images

TUNED = "height 0.9"
CASES: dict[str, tuple[str, Surrogate]] = {
    TUNED: ("batch", PiecewiseLinear(height=0.9)),
    "height 0.3": ("batch", PiecewiseLinear()),
    "height 1.5": ("batch", PiecewiseLinear(height=1.5)),
    "approximate LIF, height 0.55": ("batch", ApproximateLIF(height=0.55)),
    "height 0.9, not normalised": ("none", PiecewiseLinear(height=0.9)),
}
BOUNDS = (1e-3, 1e3)  # of the first layer's gradient relative to the last one's


def measure(name: str, depth: str, width: float, substeps: int, batch: int) -> dict[str, float]:
    """Norms by layer of a fresh network."""
    norm, surrogate = CASES[name]
    data = load_images(load_config("cifar10").data)
    split = data.splits["train"]
    torch.manual_seed(1)
    model = build_backbone(
        depth, activation="spiking", norm=norm, surrogate=surrogate, width=width, substeps=substeps,
        dropout=0.0, leak=0.5,
    )  # fmt: skip
    chosen = torch.randperm(len(split))[:batch]
    return gradient_norms(
        model.train(), normalised(split.pixels[chosen], data.mean, data.std), split.labels[chosen]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", default="resnet50", help="which backbone")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the channels")
    parser.add_argument("--substeps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--plot", type=Path, help="draw the norms into this picture")
    options = parser.parse_args()

    found = {
        name: measure(name, options.depth, options.width, options.substeps, options.batch) for name in CASES
    }
    print(f"{'':28} {'first':>9} {'middle':>9} {'last':>9} first/last")
    for name, norms in found.items():
        values = list(norms.values())
        first, middle, last = values[0], values[len(values) // 2], values[-1]
        ratio = first / last if last else float("nan")
        print(f"{name:28} {first:9.2e} {middle:9.2e} {last:9.2e} {ratio:.2e}")
    if options.plot:
        draw(found, options.plot)
    tuned = list(found[TUNED].values())
    return 0 if BOUNDS[0] < tuned[0] / tuned[-1] < BOUNDS[1] else 1


def draw(found: dict[str, dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, norms in found.items():
        axis.plot(
            range(1, len(norms) + 1), [max(value, 1e-12) for value in norms.values()], marker=".", label=name
        )
    axis.set(
        yscale="log", xlabel="layer of neurons, from the input", ylabel="norm of the gradient by currents"
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
