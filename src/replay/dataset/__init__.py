"""Many traces under many scenarios, as one dataset of tables."""
