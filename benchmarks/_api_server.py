"""An EmbeddedAPIServer in a process of its own, controlled by lines on standard input: "down" or "up".

It prints its URL, and after each line the number of connections and requests so far. While it is down, it refuses
connections. When it is up again it has its objects, but its watch cache has no history, as after a real restart. It exits
when its input ends.
"""

from __future__ import annotations

import sys

from informer.testing import EmbeddedAPIServer


def main() -> None:
    with EmbeddedAPIServer() as server:
        print(server.url, flush=True)
        for line in sys.stdin:
            if line.strip() == "down":
                server.faults.refuse_connections()
                server.faults.cut_connections()
            elif line.strip() == "up":
                server.restart()
            print(server.connection_count, len(server.requests), flush=True)


if __name__ == "__main__":
    main()
