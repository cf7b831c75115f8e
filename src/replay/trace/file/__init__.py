"""The trace file: its columns and metadata, reading, writing and filtering."""
