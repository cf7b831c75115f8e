"""Charge memory for pages as they are touched."""
