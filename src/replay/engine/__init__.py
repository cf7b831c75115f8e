"""The model: events, stages, charges. Knows nothing of files."""
