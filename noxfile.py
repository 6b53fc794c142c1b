"""Sessions that need more than `pip install -e '.[dev]'`: `nox -s foreign`."""

import nox


@nox.session
def foreign(session: nox.Session) -> None:
    """Runs clients of other projects against both servers: all steps of kubectl, kopf, and client-go where Go is installed."""
    session.install("-e", ".[dev]", "kopf>=1.37")
    session.run("pytest", "tests/foreign", "-m", "", *session.posargs, env={"FOREIGN_CLIENTS": "all"})
