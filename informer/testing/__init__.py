"""A test kit: API servers for tests, and pytest fixtures."""
