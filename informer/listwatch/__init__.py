"""What to list and watch, where the API server serves it, and how its answers are parsed."""
