"""Figures that are told by where they come from.

`{imdb-snn test.accuracy}` is a figure of a piece of evidence, the mean over its seeds;
`{imdb-snn-2 test.accuracy}` that of one seed. Numbers and + - * / stand between:
`{imdb-lstm test.accuracy} - {imdb-snn test.accuracy}`.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from spikeseq.evaluation.results.evidence import SEEDED, Evidence, EvidenceError

REFERENCE = re.compile(r"\{(?P<name>[^\s{}]+)\s+(?P<key>[^{}]+)\}")
OPERATORS: Mapping[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Figure:
    """A value, and what it rests on.

    Args:
        value: the mean over seeds.
        seeds: a value for each, where there are several and the figure has one piece of evidence.
        evidence: in the order in which it is named.
    """

    value: float
    seeds: tuple[float, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def figure(text: str, known: Mapping[str, Evidence]) -> Figure:
    """The value of an expression.

    Raises:
        EvidenceError: nothing has that name or key, or it is no expression.
    """
    references = [(match["name"], match["key"].strip()) for match in REFERENCE.finditer(text)]
    if not references:
        raise EvidenceError(f"{text!r} names no evidence; expected such as {{imdb-snn test.accuracy}}")
    evidence, values = [], []
    for name, key in references:
        one, numbers = looked_up(name, key, known)
        evidence.append(one)
        values.append(numbers)
    calculate = partial(_calculated, text)
    seeds = (
        tuple(calculate([value]) for value in values[0]) if len(values) == 1 and len(values[0]) > 1 else ()
    )
    value = fmean(seeds) if seeds else calculate([fmean(numbers) for numbers in values])
    return Figure(value, seeds, tuple(dict.fromkeys(evidence)))


def looked_up(name: str, key: str, known: Mapping[str, Evidence]) -> tuple[Evidence, list[float]]:
    """The evidence of a name, which may end in a seed, and its figures."""
    seed = None
    match = SEEDED.fullmatch(name)
    if name not in known and match is not None:
        name, seed = match["name"], int(match["seed"])
    if name not in known or (seed is not None and seed not in known[name].seeds):
        raise EvidenceError(f"there is no run {name}{'' if seed is None else f' of seed {seed}'}")
    one = known[name]
    try:
        numbers = one.values(key)
    except KeyError:
        raise EvidenceError(f"{name} has no figure {key}") from None
    return one, numbers if seed is None else [numbers[list(one.seeds).index(seed)]]


def _calculated(text: str, values: list[float]) -> float:
    """An expression with values in the place of its references."""
    left = iter(values)
    filled = REFERENCE.sub(lambda _: f"({next(left)!r})", text)

    def value(node: ast.AST) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        raise EvidenceError(f"{text!r} is no expression of figures, numbers and + - * /")

    try:
        return value(ast.parse(filled.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        raise EvidenceError(f"{text!r} is no expression of figures, numbers and + - * /") from None
