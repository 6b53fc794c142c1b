"""`python -m informer` and the program `informer`."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line, and exits with its exit code."""
    # Ctrl-C during the imports exits without a traceback; `stop_on_signals` replaces this.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from informer.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit("error: the command line needs typer and rich: pip install 'kube-informer[cli]'")
    app(prog_name="informer")


if __name__ == "__main__":
    main()
