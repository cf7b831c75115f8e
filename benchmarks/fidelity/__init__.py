"""Replays held against what real kernels counted: ``python -m benchmarks.fidelity``."""
