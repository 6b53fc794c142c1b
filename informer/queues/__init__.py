"""Queues of deltas between a reflector and a cache."""
