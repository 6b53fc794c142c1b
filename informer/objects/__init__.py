"""Kubernetes objects: what an informer keeps of one, how it is read, and how users' own types are made from it."""
