"""The cells that kubectl prints of an object, as kube-apiserver computes them. No I/O."""
