"""What many runs come to: the points of a sweep, the scenarios of a fleet."""
