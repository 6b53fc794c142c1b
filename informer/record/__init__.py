"""Recording Kubernetes events."""
