"""What docs/fidelity.md shows: ``python -m fidelity``, in the directory ``tests``."""
