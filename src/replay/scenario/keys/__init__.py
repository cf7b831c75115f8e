"""Every key of a scenario: its check, its default, its value."""
