"""Unsupervised learning by spike timing: rules, networks of ensembles, and what reads and compresses them."""

from .cells import EXCITATORY, INHIBITORY, Cell
from .compress import at_random, connectivity, critical, shared, strongest
from .network import Network
from .parts import MANY, Cross, Ensemble, Plan, Presentation, threshold_step, threshold_time
from .readout import Linear, Sums, Votes
from .rules import POWER_LAW, PairOfTraces, PowerLaw, Rule, Switching
from .showing import Learnt, Shown, present

__all__ = [
    "EXCITATORY",
    "INHIBITORY",
    "MANY",
    "POWER_LAW",
    "Cell",
    "Cross",
    "Ensemble",
    "Learnt",
    "Linear",
    "Network",
    "PairOfTraces",
    "Plan",
    "PowerLaw",
    "Presentation",
    "Rule",
    "Shown",
    "Sums",
    "Switching",
    "Votes",
    "at_random",
    "connectivity",
    "critical",
    "present",
    "shared",
    "strongest",
    "threshold_step",
    "threshold_time",
]
