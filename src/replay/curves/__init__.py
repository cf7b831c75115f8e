"""What every memory.max at once would cost: distances in stacks of pages."""
