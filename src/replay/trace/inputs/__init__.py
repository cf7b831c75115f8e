"""Find the files that a user means, and read their bytes."""
