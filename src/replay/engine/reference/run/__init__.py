"""The event loop and its stages."""
