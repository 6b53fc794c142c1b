"""The embedded API server's requests: from a route to an answer."""
