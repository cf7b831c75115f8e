"""Replay one trace: open it, bind the scenario, run the engine, make the result."""
