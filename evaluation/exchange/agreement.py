"""Tables of agreement: our networks in other libraries, and theirs in ours, spike by spike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import spikeseq
from spikeseq.exchange import READERS, check, from_nir, read_nir, write_nir
from spikeseq.exchange.agreement import quiet, version_of
from spikeseq.nn import LIF, SpikingRNN

STEPS, BATCH = 100, 8
WHY = {
    "soft": "NIR has no soft reset: it is read as one to zero",
    "norse dt": "norse takes a step of 1 ms, leaves out r and has no AvgPool2d",
    "sinabs dt": "sinabs takes time constants for numbers of steps, leaves out r, and resets as below",
    "sinabs reset": "sinabs resets by subtraction and fires several times a step, whatever the file says",
    "rockpool reset": "rockpool resets by subtraction and fires several times a step",
    "sinabs lost": "sinabs reads back neither norm_input nor the reset of its own neurons",
    "snntorch lost": "snnTorch writes each of its resets as one to zero",
    "snntorch twice": "with reset_delay=False, snnTorch's membranes above two thresholds miss spikes"
    " (findings/snntorch_without_delay_falls_silent.sh)",
    "snntorch leads": "snnTorch leads the input of a cycle through its recurrent weights"
    " (findings/snntorch_leads_the_input_through_recurrent_weights.sh)",
    "snntorch drops": 'RLeaky with reset_mechanism="zero" also drops the input of the step after a spike',
    "norse lost": "norse writes time constants a thousand times too short",
    "norse reset": "norse writes time constants a thousand times too short, and each reset as one to zero",
}
"""Why a cell is not zero; a difference without one is an error of this program."""


@dataclass
class Table:
    """Rows of cells, and notes that explain them, numbered in the order in which they are met."""

    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> str:
        """The mark of a note, the same for the same text."""
        if text not in self.notes:
            self.notes.append(text)
        return f"({self.notes.index(text) + 1})"

    def cell(self, share: float, why: str | None, where: str) -> str:
        """A share of differing decisions, explained.

        Raises:
            RuntimeError: it is not zero, and nothing explains it.
        """
        if not share:
            return "0"
        if why is None:
            raise RuntimeError(f"{where}: {share:.2%} differ, and nothing explains why")
        return f"{100 * share:.1f} % {self.note(WHY[why])}"

    def text(self) -> str:
        """As markdown."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        notes = [f"({number}) {text.rstrip('.')}." for number, text in enumerate(self.notes, start=1)]
        return "\n".join([*lines, "", "  \n".join(notes)]) if notes else "\n".join(lines)


def networks(reset: str) -> dict[str, tuple[Any, tuple[int, ...] | None]]:
    """Networks of random weights under which all layers fire, and the shape of their input."""
    torch.manual_seed(1)
    kind: dict[str, Any] = {"readout": "spikes", "reset": reset, "substeps": 5}
    found: dict[str, tuple[Any, tuple[int, ...] | None]] = {
        "SpikingRNN, 2 layers": (SpikingRNN(10, 32, 2, leak=0.9, **kind), None),
        "with feedback": (SpikingRNN(10, 32, 2, recurrent=True, leak=0.9, **kind), None),
        "of leak 1": (SpikingRNN(10, 32, 2, leak=1.0, **kind), None),
        "`norm_input`": (SpikingRNN(10, 32, 2, leak=0.9, norm_input=True, **kind), None),
        "a leak per neuron": (leaks_of_neurons(reset), None),
    }
    image = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)),
    )
    batch = [torch.randn(32, 3, 8, 8)]
    for name, leak in (("converted images, leak 1", 1.0), ("the same, leak 0.9", 0.9)):
        model = spikeseq.to_spiking(image, batch, reset=reset, substeps=STEPS, leak=leak)
        found[name] = (model, (3, 8, 8))
    return found


def leaks_of_neurons(reset: str) -> list[nn.Module]:
    """A chain whose neurons each have a leak of their own."""
    leaks = torch.linspace(0.5, 0.95, 32).tolist()
    return [nn.Linear(10, 32), LIF(32, reset=reset, leak=leaks, threshold=0.5)]


def ours_in_theirs(resets: tuple[str, ...] = ("hard", "soft", "soft_immediate")) -> dict[str, Table]:
    """The table of plain files, and that of files for their readers."""
    versions = [f"{name} {version_of(name)}" for name in READERS]
    plain = Table(["network", "reset", *versions])
    meant = Table(["network", "reset", *versions, "sinabs, told the reset", "rockpool, told the reset"])
    for reset in resets:
        for name, (model, shape) in networks(reset).items():
            if reset != "hard" and "SpikingRNN" not in name:
                continue
            rows: list[list[str]] = [[name, reset] for _ in range(2)]
            for reader in READERS:
                rows[0].append(compared(plain, model, shape, reader, reset, plain=True))
                rows[1].append(compared(meant, model, shape, reader, reset))
            for reader in ("sinabs", "rockpool"):
                rows[1].append(compared(meant, model, shape, reader, reset, settled=True))
            plain.rows.append(rows[0])
            meant.rows.append(rows[1])
    return {"plain": plain, "reader": meant}


def compared(table: Table, model: Any, shape: Any, reader: str, reset: str, **how: Any) -> str:
    """One cell."""
    try:
        found = check(model, reader, shape, **how)
    except Exception as error:  # whatever the library raises is what the cell says
        return f"refused {table.note(refusal(reader, error))}"
    why = None
    if reader in ("sinabs", "rockpool") and not how.get("settled"):
        why = f"{reader} dt" if how.get("plain") else f"{reader} reset"
    elif reader == "norse" and how.get("plain"):
        why = "norse dt"
    elif reset != "hard":
        why = "soft"
    return table.cell(found.share, why, f"{type(model).__name__} in {reader} {how}")


def refusal(reader: str, error: Exception) -> str:
    """What a library, or we for it, said."""
    text = " ".join(str(error).split()).replace("|", "/")
    for name in ("n0_", "n1_", "n2_", "n3_", "n4_"):
        text = text.replace(name, "")
    if isinstance(error, ValueError) and reader in text:
        return text.partition("; take")[0]
    return f"{reader} fails: {type(error).__name__}, {text}"


def theirs_in_ours(folder: Any) -> Table:
    """Networks of other libraries, written by them: read back by themselves, and by us."""
    from spikeseq.evaluation.exchange.theirs import THEIRS

    table = Table(["network", "reset", "read by its own library", "read by ours, told"])
    x = torch.randn(STEPS, BATCH, 10, generator=torch.Generator().manual_seed(0))
    for case in THEIRS:
        with torch.no_grad(), quiet():
            own, graph, again = case.make(x)
        write_nir(graph, folder / "theirs.nir")
        with torch.no_grad(), quiet():
            back = again(read_nir(folder / "theirs.nir"))(x)  # which may change the graph that it reads
            ours, _ = from_nir(folder / "theirs.nir", writer=case.library, **case.told)(x)
        if not own.any():
            raise RuntimeError(f"{case.name} is silent")
        told = ", ".join(f"{key}={value!r}" for key, value in case.told.items()) or "nothing more"
        table.rows.append(
            [
                f"{case.library}: {case.name}",
                case.reset,
                table.cell(share(own, back), case.why, f"{case.name} in its own library"),
                f"{table.cell(share(own, ours), case.ours, f'{case.name} in ours')}, {told}",
            ]
        )
    return table


def share(one: torch.Tensor, other: torch.Tensor) -> float:
    """Of values that differ."""
    return float((one != other).double().mean())


Make = Callable[
    [torch.Tensor], tuple[torch.Tensor, Any, Callable[[Any], Callable[[torch.Tensor], torch.Tensor]]]
]
