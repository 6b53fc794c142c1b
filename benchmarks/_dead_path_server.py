"""An EmbeddedAPIServer on every address of its network namespace, controlled by lines on standard input.

It prints its port and its CA certificate as JSON. A line "write NAME" changes or creates that ConfigMap. After each line it
prints the state: resourceVersions by name. It exits when its input ends.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from informer.testing import EmbeddedAPIServer
from tests.cluster.faults.proxy import FaultProxy


def main() -> None:
    with EmbeddedAPIServer(tls=True) as server:
        address = urlsplit(server.url)
        # The server itself listens on the loopback address only.
        proxy = FaultProxy(address.hostname or "", address.port or 0, listen="0.0.0.0")
        print(json.dumps({"port": proxy.port, "ca": (server.ca_certificate or b"").decode()}), flush=True)
        present = set()
        for turn, line in enumerate(sys.stdin):
            _, _, name = line.strip().partition(" ")
            if name in present:
                server.patch("configmaps", name, {"data": {"turn": str(turn)}})
            elif name:
                server.create({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}})
                present.add(name)
            items = server.list("configmaps")
            print(
                json.dumps({item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}),
                flush=True,
            )
        proxy.close()


if __name__ == "__main__":
    main()
