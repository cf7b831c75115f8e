"""Scenarios: TOML, checked values, and the engine's flat parameters."""

from replay.scenario.load import Scenario

__all__ = ["Scenario"]
