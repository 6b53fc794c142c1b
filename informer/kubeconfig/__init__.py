"""Kubeconfig files as kubectl reads them: found, parsed, merged, and described as one cluster, user and namespace."""
