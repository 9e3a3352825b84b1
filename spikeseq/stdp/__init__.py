"""Unsupervised learning by spike timing (STDP)."""
from .network import Cross, Ensemble, Network, Presentation
from .rules import POWER_LAW, PairOfTraces, PowerLaw, Switching
