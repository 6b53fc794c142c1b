"""Listing and watching a resource: which requests go to the API server, and how its answers are read."""
