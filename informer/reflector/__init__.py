"""The reflector: lists and watches one resource, and keeps a queue or store current."""
