"""Make the engine's setup of a scenario, controller by controller."""
