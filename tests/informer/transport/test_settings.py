"""The connection settings of an official client's configuration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import Configuration

from informer.transport.settings import ConnectionSettings


def test_settings_are_those_of_the_configuration() -> None:
    """A new configuration has the defaults, and a changed one gives other settings."""
    configuration: Any = Configuration(host="https://there")
    before = ConnectionSettings.of(configuration)
    assert before == ConnectionSettings("https://there", proxy=before.proxy, no_proxy=before.no_proxy)
    configuration.ssl_ca_cert = "ca.pem"
    after = ConnectionSettings.of(configuration)
    assert after != before
    assert after.files() == [("certificate-authority", "ca.pem")]


def test_attributes_that_a_configuration_does_not_have_get_defaults() -> None:
    """Older official clients have fewer attributes."""
    settings = ConnectionSettings.of(SimpleNamespace(host="http://there", verify_ssl=False))
    assert settings == ConnectionSettings("http://there", verify_ssl=False)


@pytest.mark.parametrize("field", ["host", "proxy", "proxy_headers"])
def test_repr_shows_no_settings(field: str) -> None:
    """Addresses and proxy headers can contain passwords."""
    values = {"host": "http://there", field: "http://user:secret@there"}
    assert "secret" not in repr(ConnectionSettings(**values))  # type: ignore[arg-type]
