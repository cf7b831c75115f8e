"""Counts of a run, as tables."""
