"""Connections to an API server: the official client's configuration and credentials over an urllib3 pool of this project's own."""
