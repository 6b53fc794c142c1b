"""The informer's cache, its indices and listers, and the stores and helpers that go with it."""
