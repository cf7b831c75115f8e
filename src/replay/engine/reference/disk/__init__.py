"""A plain disk: its scheduler, its ring, its pipe."""
