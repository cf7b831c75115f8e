"""Memory counters of cgroups, tasks, the OOM killer, protection."""
