"""Results for the eye: what the terminal shows."""
