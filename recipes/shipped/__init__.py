"""Runs as they are handed on: to the hub and from it, in 8 bits, with the package."""
