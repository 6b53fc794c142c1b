"""An EmbeddedAPIServer in a process of its own, which does what it is told by lines: "down" or "up".

Prints its URL, and after each line how many connections and requests there were so far. While it is down, connections are
refused; when it is up again, its objects are there and its watch cache has no past, as after a real restart. It ends with
its input.
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
