"""Labelled texts in memory: the generated sample, files and folders, IMDB from the hub."""
