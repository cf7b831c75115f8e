"""Taking traces on this machine: cgroup trees, and blktrace with cgroup ids."""
