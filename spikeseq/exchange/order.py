"""In which order the parts of a graph run, and where a cycle waits for the next step."""

from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from .parts import INPUT, OUTPUT, Factor, Integrate, Neurons, Parts, Wait

Edge = tuple[str, str]


@dataclass(frozen=True)
class Group:
    """Parts that run together: one, over all steps at once; or a cycle, step by step, in this order.

    late: edges whose target sees what their source gave a step before.
    """

    nodes: tuple[str, ...]
    steps: bool = False
    late: frozenset[Edge] = frozenset()


def in_order(parts: Parts) -> list[Group]:
    """Every part once, behind those that feed it. Puts a part between a delay in a cycle and what it feeds.

    NIR has no steps, and says nothing of when a cycle closes. Where a cycle holds a Delay, that is what it
    takes. Where it holds none, spikes are taken to go around it in the step after they were fired, as
    recurrent layers have it, which is clear only where there is one layer of neurons.

    Raises:
        ValueError: a cycle without a delay: none of its parts remembers, or several layers of neurons do and
            nothing says which of them waits.
    """
    split_delays(parts)
    for name in parts.nodes:
        if not parts.sources(name):
            raise ValueError(f"{name} is fed by nothing")
    groups = components(parts)
    return [
        Group((nodes[0],))
        if len(nodes) == 1 and (nodes[0], nodes[0]) not in parts.edges
        else cycle(parts, nodes)
        for nodes in groups
    ]


def split_delays(parts: Parts) -> None:
    """A delay in a cycle gives its last step to the edge behind it, which is where the cycle is cut."""
    for nodes in components(parts):
        for name in nodes if len(nodes) > 1 else ():
            part = parts.nodes[name]
            if isinstance(part, Wait) and part.steps > 0 and not name.endswith(" waits"):
                targets = parts.targets(name)
                parts.edges = [edge for edge in parts.edges if edge[0] != name]
                parts.nodes[name] = replace(part, steps=part.steps - 1)
                behind = f"{name} over"
                parts.nodes[behind] = Factor(1.0)
                parts.edges += [(name, behind), *((behind, target) for target in targets)]


def cycle(parts: Parts, nodes: list[str]) -> Group:
    """The parts of one cycle."""
    inner = [(a, b) for a, b in parts.edges if a in nodes and b in nodes]
    late = {(a, b) for a, b in inner if b == f"{a} over"}
    left = [edge for edge in inner if edge not in late]
    order = sorted_nodes(nodes, left)
    if order is None:
        remember = [name for name in nodes if isinstance(parts.nodes[name], Neurons | Integrate)]
        shown = " -> ".join([*nodes, nodes[0]])
        if not remember:
            raise ValueError(f"the cycle {shown} has no delay: none of its parts remembers a step")
        if len(remember) > 1:
            raise ValueError(
                f"the cycle {shown} has several layers of neurons ({', '.join(remember)}) and no nir.Delay"
                " of a step, so that nothing says which of them waits for the others"
            )
        late |= {(a, b) for a, b in left if a == remember[0]}
        order = sorted_nodes(nodes, [edge for edge in left if edge not in late])
        if order is None:
            raise ValueError(f"the cycle {shown} holds another one without a delay")
    return Group(tuple(order), True, frozenset(late))


def sorted_nodes(nodes: list[str], edges: list[Edge]) -> list[str] | None:
    """The nodes in an order in which each comes behind its sources; None if there is none."""
    sorter = TopologicalSorter({name: [a for a, b in edges if b == name] for name in nodes})
    try:
        return list(sorter.static_order())
    except CycleError:
        return None


def components(parts: Parts) -> list[list[str]]:
    """Nodes that reach each other, in the order in which they can run (Tarjan, 1972)."""
    edges = {name: parts.targets(name) for name in (INPUT, *parts.nodes)}
    found: list[list[str]] = []
    low: dict[str, int] = {}
    at: dict[str, int] = {}
    stack: list[str] = []
    for root in (INPUT, *parts.nodes):
        waiting = [] if root in at else [(root, iter(edges[root]))]
        if waiting:
            at[root] = low[root] = len(at)
            stack.append(root)
        while waiting:
            name, targets = waiting[-1]
            target = next(targets, None)
            if target == OUTPUT:
                continue
            if target is None:
                waiting.pop()
                if waiting:
                    low[waiting[-1][0]] = min(low[waiting[-1][0]], low[name])
                if low[name] == at[name]:
                    place = stack.index(name)
                    found.append(stack[place:])
                    del stack[place:]
            elif target not in at:
                at[target] = low[target] = len(at)
                stack.append(target)
                waiting.append((target, iter(edges[target])))
            elif target in stack:
                low[name] = min(low[name], at[target])
    return [nodes for nodes in reversed(found) if nodes != [INPUT]]
