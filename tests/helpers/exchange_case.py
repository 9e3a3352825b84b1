"""Small networks for tests of what is handed to other libraries."""

import torch
from torch import nn

import spikeseq
from spikeseq.nn import LIF, SpikingRNN

SHAPES = {"images": (3, 8, 8), "resnet": (3, 8, 8)}


def networks(reset: str = "hard") -> dict[str, nn.Module | list[nn.Module]]:
    """One of every kind that `to_nir` takes, with weights under which all layers fire."""
    torch.manual_seed(1)
    neuron = {"reset": reset, "leak": 0.9}
    image = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Dropout(0.3),
        nn.Conv2d(6, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 10),
    )
    converted = spikeseq.to_spiking(image, [torch.randn(8, 3, 8, 8)], reset=reset, substeps=20)
    return {
        "stack": SpikingRNN(6, 12, 2, readout="spikes", substeps=2, **neuron),
        "feedback": SpikingRNN(6, 12, 2, recurrent=True, readout="spikes", substeps=1, **neuron),
        "weighted": SpikingRNN(6, 12, norm_input=True, readout="spikes", substeps=1, **neuron),
        "chain": [
            nn.Linear(6, 12),
            LIF(reset=reset, leak=0.5, threshold=0.5),
            nn.Linear(12, 5, bias=False),
            LIF(reset=reset, leak=1.0, threshold=0.25),
        ],
        "images": converted,
    }


def fed(name: str, steps: int = 40, batch: int = 3) -> torch.Tensor:
    """Inputs (L, B, *) for one of them."""
    drawn = torch.randn(steps, batch, *SHAPES.get(name, (6,)), generator=torch.Generator().manual_seed(3))
    return 2 * drawn
