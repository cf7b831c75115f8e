"""Finds and reads inputs, pairs records into requests, writes and opens traces."""
