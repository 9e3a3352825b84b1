"""What is known of a value of an ONNX graph before the graph runs."""

from typing import Any

import numpy as np

PASSING = ("Cast", "CastLike", "Identity", "Expand", "Reshape")
"""Operators whose output holds the numbers of their first input."""


def number(value: Any) -> float | None:
    """The one number that a value consists of, if it is always the same."""
    while value.const_value is None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type in PASSING:
            value = node.inputs[0]
            continue
        if node.op_type not in ("Constant", "ConstantOfShape") or not node.attributes:
            return None
        held = next(iter(node.attributes.values())).value
        return single(held)
    return single(value.const_value)


def single(held: Any) -> float | None:
    """The number that a tensor, or a number, consists of."""
    numbers = np.unique(np.asarray(held.numpy() if hasattr(held, "numpy") else held))
    return float(numbers[0]) if numbers.size == 1 else None


def multiple(value: Any, of: int) -> bool:
    """Whether whole numbers are known to be multiples of `of`: products with a constant that is one."""
    node = value.producer()
    while node is not None and node.op_type in PASSING:
        node = node.inputs[0].producer()
    if node is None or node.op_type != "Mul":
        return False
    factors = [number(one) for one in node.inputs]
    return any(one is not None and one % of == 0 for one in factors)
