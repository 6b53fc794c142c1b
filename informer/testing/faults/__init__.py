"""Faults on demand: what goes wrong with the answers of the embedded API server."""
