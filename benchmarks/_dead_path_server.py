"""An EmbeddedAPIServer that can be reached at every address of its network namespace, and does what it is told by lines.

Prints its port and the certificate to verify it with, as JSON. Each line "write NAME" changes that ConfigMap, or makes it;
after each line the state is printed: resourceVersions by name. It ends with its input.
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
        # The server itself listens on loopback only.
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
