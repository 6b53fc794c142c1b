"""Delivery of changes to callbacks, event streams and asyncio."""
