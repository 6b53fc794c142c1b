"""What the embedded API server keeps: objects, their history, and the rules of writing them."""
