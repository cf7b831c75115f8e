"""What records: the kernel by itself, or a program that is installed."""
