"""Runs jobs in other processes: of this machine, or of a cluster."""
