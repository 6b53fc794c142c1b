"""Finds out whether a cluster is configured."""

from __future__ import annotations

import os
from pathlib import Path


def cluster_is_configured() -> bool:
    """Returns whether the user means a cluster: KUBECONFIG is set, the default kubeconfig exists, or this is a pod."""
    named = os.environ.get("KUBECONFIG") or "KUBERNETES_SERVICE_HOST" in os.environ
    return bool(named) or Path("~/.kube/config").expanduser().is_file()
