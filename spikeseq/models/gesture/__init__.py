"""Gestures from an event camera (thesis 6.3): frames, networks that decide after every frame, live use."""

from .frames import Encoding, FrameStream, check_events
from .live import Decision, GestureStream, latency
from .networks import NETWORKS, RecurrentNet, VotingNet, build_gesture_network

__all__ = [
    "NETWORKS",
    "Decision",
    "Encoding",
    "FrameStream",
    "GestureStream",
    "RecurrentNet",
    "VotingNet",
    "build_gesture_network",
    "check_events",
    "latency",
]
