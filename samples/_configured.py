"""Finds out whether a cluster is configured."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cluster_is_configured() -> bool:
    """Returns whether the user means a cluster: a file of KUBECONFIG or the default kubeconfig exists, or this is a pod.

    A KUBECONFIG of which no file exists is reported, since a demo may take the place of the cluster that was meant.
    """
    named = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    if named and not any(Path(path).is_file() for path in named):
        print(f"KUBECONFIG names no file that exists: {', '.join(named)}", file=sys.stderr)
        named = []
    return bool(named) or "KUBERNETES_SERVICE_HOST" in os.environ or Path("~/.kube/config").expanduser().is_file()
