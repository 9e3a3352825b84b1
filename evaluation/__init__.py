"""What a model costs: operations and energy."""

from .energy import measure_energy

__all__ = ["measure_energy"]
