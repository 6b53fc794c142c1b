"""Admission webhooks of the embedded API server: their configurations, which of them a write concerns, and the calls."""
