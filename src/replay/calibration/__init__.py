"""A device's service times, fitted to a trace of it."""
