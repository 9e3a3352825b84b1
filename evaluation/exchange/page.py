"""docs/neurons.md: what each library's neuron does, seen in runs, and how `LIF.like` is set to it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spikeseq.evaluation.exchange.agreement import Table
from spikeseq.evaluation.exchange.neurons import Setting, bindsnet_nodes, fired
from spikeseq.exchange.agreement import quiet, version_of
from spikeseq.exchange.needed import needed
from spikeseq.nn import LIF
from spikeseq.nn.like import OTHERS, Other

STEPS, NEURONS = 200, 20
WHY = "its membranes above two thresholds miss spikes (findings/snntorch_without_delay_falls_silent.sh)"


def neurons_page(python: str | None) -> dict[str, str]:
    """The two tables, by the names of their marks.

    Raises:
        ImportError: a library is missing, with the command that helps.
    """
    seen = Table(
        [
            "library", "neuron", "reset", "0.3 for 12 steps fires at", "at the threshold", "spikes a step",
            "a membrane of 1.5, no input", "input", "a batch of two after one of four",
        ]
    )  # fmt: skip
    like = Table(["library", "told", "ours", "decisions that differ"])
    for library, other in OTHERS.items():
        with quiet():
            seen.rows.append(row(library, other, python))
            like.rows += likenesses(like, library, other, python)
    ours = ["ours", "`LIF`", "soft", steps(one(LIF(leak=0.9))), "silent", "1", "silent"]
    seen.rows.append([*ours, "as it is", "explicit: the state is an argument"])
    return {"seen": seen.text(), "like": like.text()}


def default(other: Other, **more: Any) -> Setting:
    """As the library comes."""
    return Setting(reset=next(iter(other.resets)), norm_input=next(iter(other.norm_input)), **more)


def row(library: str, other: Other, python: str | None) -> list[str]:
    """What one neuron does, leak 0.9 and threshold 1; where it weights its input, that is so much more."""

    def run(values: list[float], leak: float = 0.9, start: float | None = None) -> Tensor:
        at = default(other, leak=leak, start=start)
        current = torch.tensor(values).unsqueeze(1)
        return fired(library, current / (1 - leak) if at.norm_input else current, at, python)[:, 0]

    weights = fired(library, torch.tensor([[1.5]]), default(other), python)
    first = run([0.0], start=1.5)
    return [
        f"{library} {other.version if library in ('brian2', 'lava') else version_of(library)}",
        f"`{other.neuron}`",
        next(iter(other.resets)),
        steps(run([0.3] * 12)),
        "fires" if run([1.0], leak=0.5).any() else "silent",
        f"{run([3.5]).max():.0f}" + (" and more" if other.several else ""),
        "fires" if first.any() else "silent",
        "as it is" if weights.any() else "weighted by 1 - leak",
        NEXT[library](),
    ]


def one(lif: LIF) -> Tensor:
    """Spikes of ours for 0.3 in 12 steps."""
    with torch.no_grad():
        return lif(torch.full((12, 1, 1), 0.3))[0][:, 0, 0]  # type: ignore[no-any-return]


def steps(spikes: Tensor) -> str:
    """At which steps there are some, from 0."""
    return ", ".join(str(int(at)) for at in spikes.nonzero()[:, 0]) or "never"


def inputs() -> dict[str, tuple[float, Tensor]]:
    """A leak and currents (L, N): random ones, and such that meet the threshold exactly."""
    drawn = torch.Generator().manual_seed(0)
    smooth = 0.5 * torch.randn(STEPS, NEURONS, generator=drawn) + 0.1
    grid = torch.randint(-4, 9, (STEPS, NEURONS), generator=drawn) / 8.0
    return {"random": (0.9, smooth), "grid": (0.5, grid)}


@torch.no_grad()
def differing(library: str, reset: str, norm_input: bool, python: str | None) -> tuple[int, int]:
    """Decisions that differ from those of `LIF.like`, and how many there are; one spike a step."""
    off = count = 0
    single = {"several": False} if OTHERS[library].several else {}
    for leak, current in inputs().values():
        given = current / (1 - leak) if norm_input else current
        at = Setting(leak=leak, reset=reset, norm_input=norm_input)
        theirs = fired(library, given, at, python, **single)
        lif = LIF.like(library, leak=leak, reset=reset, norm_input=norm_input)
        ours, _ = lif(given.unsqueeze(1))
        if not theirs.any():
            raise RuntimeError(f"{library} is silent")
        off, count = off + int((ours[:, 0] != theirs).sum()), count + theirs.numel()
    return off, count


def likenesses(table: Table, library: str, other: Other, python: str | None) -> list[list[str]]:
    """A row for every setting of a library."""
    rows = []
    for reset, told in other.resets.items():
        for norm_input, weighted in other.norm_input.items():
            off, count = differing(library, reset, norm_input, python)
            if off and (library, reset) != ("snntorch", "soft_immediate"):
                raise RuntimeError(f"{library} {reset}: {off} differ, and nothing explains why")
            words = [word for word in (told, weighted) if word != "as it comes"]
            ours = f'LIF.like("{library}", reset="{reset}", norm_input={norm_input})'
            cell = f"{off} of {count:,}" + (f" {table.note(WHY)}" if off else "")
            single = ", one spike a step" if other.several else ""
            rows.append([library, (", ".join(f"`{word}`" for word in words) or "as it comes") + single,
                         f"`{ours}`", cell])  # fmt: skip
    return rows


# ---- what is left of a batch of four for the next one, of two


MEMBRANES = (0.1, 0.3, 0.5, 0.7)
KEPT = 0.999  # the leak of these neurons


def remembered(node: Any, run: Callable[[Tensor], Any], membrane: Callable[[], Tensor]) -> str:
    """In words: what the membranes of a batch of two are, without input, after one of four."""
    torch.manual_seed(3)
    try:
        run(torch.tensor(MEMBRANES).unsqueeze(1))
        run(torch.zeros(2, 1))
    except (RuntimeError, ValueError, AssertionError) as error:
        return f"refused ({type(error).__name__})"
    rows = [round(float(value) / KEPT, 3) for value in membrane().flatten()]
    if not any(rows):
        return "anew"
    if rows == [MEMBRANES[0]] * 2:
        return "the state of the first row for all"
    if set(rows) <= set(MEMBRANES):
        return "rows of the batch before, drawn at random"
    raise RuntimeError(f"membranes {rows} after {MEMBRANES}, and nothing explains why")


def after_snntorch() -> str:
    library = needed("snntorch", "")
    node = library.Leaky(0.999, init_hidden=True)
    library.SpikingNeuron.instances.clear()
    return remembered(node, node, lambda: node.mem)


def after_spikingjelly() -> str:
    node = needed("spikingjelly.activation_based.neuron", "").LIFNode(tau=1000.0, decay_input=False)
    return remembered(node, node, lambda: node.v)


def after_sinabs() -> str:
    node = needed("sinabs.layers", "").LIF(tau_mem=999.5, norm_input=False)
    return remembered(node, lambda x: node(x.unsqueeze(1)), lambda: node.v_mem)


def after_rockpool() -> str:
    library = needed("rockpool.nn.modules", "")
    node = library.LIFNeuronTorch(shape=(1,), tau_mem=0.9995, dt=1e-3)
    seen: list[Tensor] = []

    def run(x: Tensor) -> None:
        seen.append(node(x.unsqueeze(1), record=True)[2]["vmem"])

    return remembered(node, run, lambda: seen[-1])


def after_bindsnet() -> str:
    node = bindsnet_nodes().LIFNodes(n=1, thresh=1.0, rest=0.0, reset=0.0, refrac=0, tc_decay=999.5)
    node.compute_decays(1.0)
    node.set_batch_size(4)
    return remembered(node, node.forward, lambda: node.v)


NEXT: dict[str, Callable[[], str]] = {
    "snntorch": after_snntorch,
    "norse": lambda: "explicit: the state is an argument",
    "spikingjelly": after_spikingjelly,
    "sinabs": after_sinabs,
    "rockpool": after_rockpool,
    "bindsnet": after_bindsnet,
    "brian2": lambda: "has no batches",
    "lava": lambda: "has no batches",
}
