"""What kube-controller-manager does about deleted owners and namespaces, on one thread of the embedded server."""
