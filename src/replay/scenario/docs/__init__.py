"""Make the pages and lists that describe scenarios."""
