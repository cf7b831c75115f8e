"""The loop driver's workers and policies."""
