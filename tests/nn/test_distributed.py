"""DDP and FSDP2: two processes on the CPU are one process with the same global batch.

All checks are in two processes that are started once; as a script, this file is what they run.
"""

import copy
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn

import spikeseq
from spikeseq.models import seq2seq
from spikeseq.nn import SpikingRNN

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without torch.distributed")

STEPS, BATCH, WORLD = 3, 4, 2
TOLERANCE = 1e-9  # of weights in float64 after three steps: gradients are summed in another order


class Reader(nn.Module):
    """A model of somebody's with an nn.LSTM, which is swapped."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, tokens):
        return self.head(self.lstm(self.embedding(tokens))[0].mean(1))


class Stack(nn.Module):
    """Layers of neurons, with feedback and with a threshold for each of them."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.first = SpikingRNN(6, 8, 2, per_channel=True, batch_first=True)
        self.second = SpikingRNN(8, 8, recurrent=True, batch_first=True, readout="rate")
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.second(self.first(self.embedding(tokens))[0])[0].mean(1))


class Translator(nn.Module):
    """An encoder-decoder of convolutions; a batch is its dimension 1."""

    def __init__(self):
        super().__init__()
        options = {"channels": 8, "layers": 2, "substeps": 2}
        self.model = seq2seq.build_seq2seq({"name": "conv-snn-snn", **options}, 9, 9)

    def forward(self, tokens):
        x = tokens.t()
        lengths = torch.full((x.shape[1],), len(x))
        logits = self.model(x, lengths, x, lengths)
        return logits.view(x.shape[1], -1)


MODELS = {"swapped": lambda: spikeseq.swap(Reader()), "stack": Stack, "translator": Translator}


def made(name):
    torch.manual_seed(0)
    return MODELS[name]().double().eval()  # without dropout, which each process draws for itself


def batch(step):
    return torch.randint(4, 9, (BATCH, 5), generator=torch.Generator().manual_seed(step))


def trained(model, rank=0, world=1):
    """After three steps on this process's share of each batch. The loss is a mean over the batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, foreach=False)
    for step in range(STEPS):
        optimizer.zero_grad()
        model(batch(step).chunk(world)[rank]).square().mean().backward()
        optimizer.step()
        spikeseq.project_parameters(model)
    return model


def worker(folder):
    """What each of the two processes does: the weights of both ways are left in the folder."""
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_model_state_dict,
        set_model_state_dict,
    )
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, found = dist.get_rank(), {}
    mesh = init_device_mesh("cpu", (WORLD,))
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    sent = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)

    def sharded(name):
        model = made(name)
        for layer in [part for part in model.modules() if isinstance(part, SpikingRNN)]:
            fully_shard(layer, mesh=mesh)
        return fully_shard(model, mesh=mesh)

    for name in MODELS:
        parallel = nn.parallel.DistributedDataParallel(made(name))
        found[name, "ddp"] = trained(parallel, rank, WORLD).module.state_dict()
        model, again = trained(sharded(name), rank, WORLD), sharded(name)
        found[name, "fsdp"] = get_model_state_dict(model, options=whole)
        given = {key: value.clone() for key, value in found[name, "fsdp"].items()}  # torch changes it
        set_model_state_dict(again, given, options=sent)
        found[name, "fsdp, loaded"] = get_model_state_dict(again, options=whole)
    if rank == 0:
        torch.save(found, folder / "found.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    spikeseq.build("cpu")
    folder = tmp_path_factory.mktemp("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    surroundings = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(WORLD)}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env={**os.environ, **surroundings, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(WORLD)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=280)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), "\n".join(said)
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.parametrize("way", ["ddp", "fsdp", "fsdp, loaded"])
@pytest.mark.parametrize("name", MODELS)
def test_two_processes_are_one(found, name, way):
    alone = trained(made(name))
    weights = found[name, way]
    begun = made(name).state_dict()
    for key, value in alone.state_dict().items():
        assert torch.allclose(weights[key], value, rtol=0, atol=TOLERANCE), key
    assert any(not torch.equal(weights[key], begun[key]) for key in begun)
    plain = copy.deepcopy(alone)
    plain.load_state_dict(weights)  # a plain model takes what was sharded
    tokens = batch(9)
    assert torch.allclose(plain(tokens), alone(tokens), atol=1e-7)


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
