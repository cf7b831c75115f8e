"""Data structures of the reference."""
