"""Replays held against what a kernel counted while it was recorded."""
