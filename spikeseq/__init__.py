"""Sequence learning on spiking layers."""
