"""I/O controllers: io.max, io.cost, io.latency, bfq."""
