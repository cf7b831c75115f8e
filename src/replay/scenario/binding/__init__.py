"""Fit a scenario to a trace: cgroups, devices, tasks and whose request it is."""
