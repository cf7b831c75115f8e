"""The state of a run, and the requests in it."""
