"""Pages of what is no single result: sweeps, curves, datasets, traces."""
