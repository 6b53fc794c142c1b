"""Kubernetes objects: the form that an informer stores, access to their fields, keys, and decoding to users' own types."""
