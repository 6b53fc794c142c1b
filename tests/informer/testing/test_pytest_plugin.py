"""The pytest fixtures in a project that has this package installed."""

from __future__ import annotations

import os
import subprocess
import sys

TESTS = """
import sys

def test_control_plane(control_plane):
    assert False, "KUBEBUILDER_ASSETS is not set, so the fixture must skip this test"

def test_nothing_is_imported_before_it_is_used():
    assert "informer.testing.control_plane" not in sys.modules
    assert "informer.testing.api_server" not in sys.modules

def test_embedded(embedded_apiserver):
    assert embedded_apiserver.url
"""


def test_fixtures_are_available_without_configuration(tmp_path):
    """`control_plane` skips without KUBEBUILDER_ASSETS, `embedded_apiserver` works, and unused ones are not imported."""
    (tmp_path / "test_mine.py").write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if name != "KUBEBUILDER_ASSETS"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "2 passed, 1 skipped" in run.stdout, run.stdout + run.stderr
    assert "KUBEBUILDER_ASSETS is not set" in run.stdout
