"""Scenarios: TOML, checked values, and the engine's flat parameters."""
