"""From the engine's columns to tables, and tables to disk and back."""
