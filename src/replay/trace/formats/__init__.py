"""Inputs by name: one file a format, and one row of `replay.trace.formats.registry`."""
