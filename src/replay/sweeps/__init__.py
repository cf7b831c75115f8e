"""One trace under many values of a scenario's keys, and where the outcome changes."""
