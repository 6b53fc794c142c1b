"""What kube-apiserver knows about the built-in kinds: their defaults, their validation, and what it allocates for them."""
