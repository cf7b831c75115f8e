"""Servers and locks that requests wait for."""
