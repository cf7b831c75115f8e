"""Write scenarios: of a trace, of a cgroup tree, of a calibration."""
