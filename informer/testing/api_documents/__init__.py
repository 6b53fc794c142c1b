"""What an API server publishes about its kinds: OpenAPI documents and the columns of tables. No I/O but to read a file."""
