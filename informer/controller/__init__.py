"""Joins reflectors, queue, cache and handlers, and applies each batch."""
