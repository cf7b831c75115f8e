"""Inputs by name: one small file a format, and one row in `replay.trace.formats.registry`."""
