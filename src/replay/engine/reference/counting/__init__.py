"""What a run counts, as tables."""
