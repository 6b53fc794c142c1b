"""Without the packages of the extra `testing`, the errors say how to install them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import urllib3

from informer.testing import ControlPlane, EmbeddedAPIServer
from informer.testing.storage import patches

INSTALL = r"pip install 'kube-informer\[testing\]'"


@pytest.fixture
def without_trustme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing trustme fails as if it were not installed."""
    monkeypatch.setitem(sys.modules, "trustme", None)


@pytest.fixture
def without_jsonpatch(monkeypatch: pytest.MonkeyPatch):
    """Importing jsonpatch fails as if it were not installed."""
    monkeypatch.setitem(sys.modules, "jsonpatch", None)
    patches._library.cache_clear()
    yield
    patches._library.cache_clear()


@pytest.mark.usefixtures("without_trustme")
def test_tls_needs_trustme() -> None:
    """A server with TLS cannot be made."""
    with pytest.raises(ImportError, match=f"tls=True needs the package trustme: {INSTALL}"):
        EmbeddedAPIServer(tls=True)


@pytest.mark.usefixtures("without_trustme")
def test_a_control_plane_needs_trustme(tmp_path) -> None:
    """A control plane does not start."""
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ImportError, match=f"a control plane needs the package trustme: {INSTALL}"):
        ControlPlane(assets=tmp_path).start()


@pytest.mark.usefixtures("without_jsonpatch")
def test_json_patch_needs_jsonpatch() -> None:
    """The test's own call raises ImportError; an HTTP client gets a 500 with the same message."""
    message = f"JSON patch needs the package jsonpatch: {INSTALL}"
    with EmbeddedAPIServer() as server:
        with pytest.raises(ImportError, match=message):
            server.patch("namespaces", "default", [{"op": "remove", "path": "/metadata/labels"}])
        with urllib3.PoolManager() as http:
            answer = http.request(
                "PATCH",
                f"{server.url}/api/v1/namespaces/default",
                body=b"[]",
                headers={"Content-Type": "application/json-patch+json"},
            )
    assert answer.status == 500
    assert "JSON patch needs the package jsonpatch" in answer.json()["message"]


def test_the_packages_are_imported_when_they_are_used() -> None:
    """A server without TLS starts and applies a merge patch without any of them."""
    script = """if True:
        import sys
        from informer.testing import EmbeddedAPIServer
        with EmbeddedAPIServer() as server:
            server.patch("namespaces", "default", {"metadata": {"labels": {"a": "b"}}})
        print(sorted({"trustme", "cryptography", "jsonpatch"} & set(sys.modules)))
    """
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=True)
    assert run.stdout == "[]\n"
