"""A task of a few milliseconds for the engine."""

import json

import torch
from accelerate import Accelerator
from torch import nn

from spikeseq.recipes.engine import Task, fit
from spikeseq.recipes.settings import TrainSettings


class Points(Task):
    """Two clouds of points: a task of a few milliseconds, with dropout, so that random numbers matter."""

    def __init__(self, scores=None):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.3), nn.Linear(8, 2))
        self.x = torch.randn(64, 2) + torch.arange(2).repeat(32).unsqueeze(1) * 2
        self.y = torch.arange(2).repeat(32)
        self.scores = iter(scores) if scores else None

    def batches(self, epoch):
        order = torch.randperm(64, generator=torch.Generator().manual_seed(epoch)).tolist()
        return [order[i : i + 16] for i in range(0, 64, 16)]

    def collate(self, batch, rng):
        return self.x[batch], self.y[batch]

    def loss(self, model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    def validate(self, model, device):
        model.eval()
        if self.scores:
            return {"score": next(self.scores)}
        return {"score": float((model(self.x.to(device)).argmax(1).cpu() == self.y).float().mean())}


def run(folder, task=None, **changes):
    settings = TrainSettings(**{"epochs": 4, "warmup": 2, "average": 0.5, "patience": 0} | changes)
    return fit(task or Points(), settings, folder, accelerator=Accelerator(cpu=True))


def equal(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
