"""Kubernetes objects in protobuf: the messages of the built-in kinds, and how fields are read and removed."""
