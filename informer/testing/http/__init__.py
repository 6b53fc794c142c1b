"""A small HTTP/1.1 server over sockets and threads. It knows nothing about Kubernetes."""
