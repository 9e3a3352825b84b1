"""Translation of pairs of lines."""
