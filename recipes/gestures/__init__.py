"""Gestures from an event camera."""
