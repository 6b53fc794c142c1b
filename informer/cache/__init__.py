"""The local copy of a resource: stores, indices, listers, and caches for objects that a program wrote itself."""
