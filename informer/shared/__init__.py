"""What users hold: shared informers, their factory, and waiting for them."""
