"""Finds out whether a cluster is configured."""

from __future__ import annotations

import os
from pathlib import Path


def in_cluster() -> bool:
    """Returns whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def cluster_is_configured() -> bool:
    """Returns whether kubectl would find a cluster."""
    paths = (os.environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)
    return in_cluster() or any(path and Path(path).expanduser().is_file() for path in paths)
