"""Connections to an API server: the official client's configuration and credentials, over the project's own urllib3 pool."""
