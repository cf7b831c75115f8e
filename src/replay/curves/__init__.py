"""The cost of every memory.max at once: distances in stacks of pages."""
