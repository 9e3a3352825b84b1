"""Labelled images, read from whatever holds them into memory: what all recipes for images use."""
