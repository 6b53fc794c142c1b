"""`python -m informer` and the program `informer`."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line, and exits with its exit code."""
    # Ctrl-C during the imports exits without a traceback; `stop_on_signals` replaces this.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if len(sys.argv) > 2 and sys.argv[1] in ("--show-completion", "--install-completion"):
        # Typer then takes the name of the shell instead of finding out in which shell it runs.
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    try:
        import informer.watch_check  # noqa: F401 - before any module that imports `watch`
        from informer.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit("error: the command line needs typer and rich: pip install 'kube-informer[cli]'")
    except ImportError as error:
        if error.name not in ("informer", "watch"):
            raise
        sys.exit(f"error: {error}")
    app(prog_name="informer")


if __name__ == "__main__":
    main()
