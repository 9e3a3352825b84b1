"""Trying to lose data: files that are damaged, and what is told in `docs/reliability.md`."""
