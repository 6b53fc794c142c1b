"""Proxies: whose failure it is, which servers bypass them, and which settings they come from."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from informer import SharedInformerFactory
from informer.testing import EmbeddedAPIServer
from informer.transport.client_loader import load_client
from informer.transport.proxy import proxy_for
from informer.transport.settings import ConnectionSettings
from informer.transport.transport import Transport
from tests.support.waiting import eventually

OK = {"ok": True}
PASSWORD = "pa55word"
NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies."""
    for name in (*NAMES, *map(str.lower, NAMES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def official_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips a test with official clients that do not read proxies from the environment; `load_client` reads them always."""
    from kubernetes import client

    with monkeypatch.context() as patched:
        patched.setenv("HTTP_PROXY", "http://proxy:3128")
        if not client.Configuration(host="http://server").proxy:
            pytest.skip("this version of the official client reads no proxies from the environment")


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def failure(client: Any) -> str:
    with pytest.raises(ConnectionError) as caught:
        Transport(client).get_json("/api")
    said = str(caught.value)
    assert PASSWORD not in said
    return said


# Whose failure it is


@pytest.mark.usefixtures("official_environment")
@pytest.mark.parametrize(
    ("scheme", "variable"),
    [
        ("https", "HTTPS_PROXY"),
        ("https", "https_proxy"),
        ("https", "ALL_PROXY"),
        ("http", "HTTP_PROXY"),
        ("http", "http_proxy"),
    ],
)
def test_a_dead_proxy_is_named_with_its_variable(
    scheme: str, variable: str, closed_port: int, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password is left out. A refusal stays a ConnectionRefusedError."""
    monkeypatch.setenv(variable, f"http://me:{PASSWORD}@127.0.0.1:{closed_port}")
    server = serve(lambda _, connection: connection.answer(OK))
    said = failure(server.client(host=f"{scheme}://kube.corp.example"))
    assert f"the proxy http://127.0.0.1:{closed_port} (from {variable}) refused the connection" in said
    assert "https://kube.corp.example" in said or scheme == "http"
    with pytest.raises(ConnectionRefusedError):
        Transport(server.client(host=f"{scheme}://kube.corp.example")).get_json("/api")


@pytest.mark.usefixtures("official_environment")
def test_a_dead_proxy_is_in_sync_error(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An informer reports the proxy."""
    from kubernetes import client

    monkeypatch.setenv("HTTP_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{closed_port}")
    with EmbeddedAPIServer() as server:
        factory = SharedInformerFactory(client.ApiClient(client.Configuration(host=server.url)))
        pods = factory.informer("pods")
        with factory:
            assert eventually(lambda: "(from HTTP_PROXY) refused the connection" in str(pods.sync_error()))
            assert PASSWORD not in str(pods.sync_error())


@pytest.mark.usefixtures("official_environment")
@pytest.mark.parametrize(
    ("proxy", "phrases"),
    [
        pytest.param(
            f"http://me:{PASSWORD}@no-such-proxy.invalid:3128",
            ["the proxy http://no-such-proxy.invalid:3128 (from HTTPS_PROXY) has a name that cannot be resolved"],
            id="unknown-name",
        ),
        pytest.param("proxy.invalid:3128", ["the proxy http://proxy.invalid:3128 (from HTTPS_PROXY)"], id="no-scheme"),
        pytest.param("ftp://proxy.invalid", ["ftp://proxy.invalid (from HTTPS_PROXY) must begin with"], id="scheme"),
        pytest.param(
            f"socks5://me:{PASSWORD}@127.0.0.1:1", ["the proxy socks5://127.0.0.1:1 (from HTTPS_PROXY)"], id="socks"
        ),
        pytest.param(f"http://me:{PASSWORD}@[", ["the proxy"], id="malformed"),
    ],
)
def test_an_unusable_proxy_is_named(
    proxy: str, phrases: list[str], serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the server, which is never reached."""
    # Set later, since the constructor of the official client refuses some of these.
    client = serve(lambda *_: None).client(host="https://kube.corp.example")
    client.configuration._proxy = proxy
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    said = failure(client)
    for phrase in (*phrases, "HTTPS_PROXY"):
        assert phrase in said


@pytest.mark.parametrize(
    "proxy", ["proxy.invalid:3128", f"http://me:{PASSWORD}@[", f"ftp://me:{PASSWORD}@proxy.invalid"]
)
def test_an_unusable_proxy_does_not_keep_a_client_from_being_loaded(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The requests fail instead, and name the proxy. The official client's constructor would raise."""
    path = tmp_path / "config"
    cluster = {"name": "k", "cluster": {"server": "https://kube.corp.example"}}
    context = {"name": "c", "context": {"cluster": "k"}}
    path.write_text(json.dumps({"current-context": "c", "contexts": [context], "clusters": [cluster]}))
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    said = failure(load_client(str(path)))
    assert "the proxy" in said
    assert "(from HTTPS_PROXY)" in said
    monkeypatch.setenv("NO_PROXY", ".example")
    assert proxy_for(ConnectionSettings.of(load_client(str(path)).configuration)) is None


@pytest.mark.usefixtures("official_environment")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_https_proxy_that_speaks_http_is_named(
    scheme: str, serve: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says to write http://."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        task = run(answer)
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", address)
        said = failure(serve(lambda *_: None).client(host=f"{scheme}://kube.corp.example"))
        task.result()
    assert f"the proxy {address} (from {scheme.upper()}_PROXY) does not speak TLS" in said
    assert "http://" in said


@pytest.mark.usefixtures("official_environment")
def test_the_certificate_of_an_https_proxy_is_named_as_the_proxys(
    serve: Any, make_authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as the server's."""
    proxy = serve(lambda *_: None, tls=make_authority().server_context("127.0.0.1"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    said = failure(serve(lambda *_: None).client(host="https://kube.corp.example"))
    assert f"the proxy {proxy.url} (from HTTPS_PROXY) has a certificate that was not accepted" in said


@pytest.mark.usefixtures("official_environment")
@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        ("407 Proxy Authentication Required", "it requires a user name and password"),
        ("403 Forbidden", "check that it allows this server"),
        ("502 Bad Gateway", "check that it allows this server"),
    ],
)
def test_a_tunnel_that_the_proxy_refuses_is_the_proxys(
    status: str, phrase: str, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its answer."""

    def refuse(request: Any, connection: Any) -> None:
        connection.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    proxy = serve(refuse)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", f"http://me:{PASSWORD}@"))
    said = failure(serve(lambda *_: None).client(host="https://kube.corp.example"))
    assert f"the proxy {proxy.url} (from HTTPS_PROXY) did not open a connection to the server ({status})" in said
    assert phrase in said


def test_a_proxy_of_the_kubeconfig_is_named_as_such(closed_port: int, serve: Any) -> None:
    """No variable sets it."""
    client = serve(lambda *_: None).client(proxy=f"http://me:{PASSWORD}@127.0.0.1:{closed_port}")
    said = failure(client)
    assert f"the proxy http://127.0.0.1:{closed_port} (from the kubeconfig's proxy-url" in said
    assert "NO_PROXY" not in said


# Which servers bypass it


@pytest.mark.parametrize(
    ("no_proxy", "host", "bypassed"),
    [
        ("*", "https://kube.corp.example", True),
        ("*.corp.example", "https://kube.corp.example", True),
        ("*.corp.example", "https://a.b.corp.example:6443", True),
        ("*.corp.example", "https://corp.example", False),
        ("*.corp.example", "https://kubecorp.example", False),
        (".corp.example", "https://kube.corp.example", True),
        ("corp.example", "https://kube.corp.example", True),
        ("corp.example", "https://corp.example", True),
        ("corp.example", "https://xcorp.example", False),
        ("CORP.example ", "https://Kube.Corp.Example", True),
        ("corp.example:443", "https://corp.example", True),
        ("corp.example:443", "https://kube.corp.example:443", True),
        ("corp.example:443", "https://corp.example:6443", False),
        ("corp.example:80", "http://corp.example", True),
        ("*.corp.example:6443", "https://kube.corp.example:6443", True),
        ("*.corp.example:6443", "https://kube.corp.example", False),
        ("10.1.2.3", "https://10.1.2.3:6443", True),
        ("10.1.2.3:6443", "https://10.1.2.3:6443", True),
        ("10.1.2.3:443", "https://10.1.2.3:6443", False),
        ("10.0.0.0/8", "https://10.1.2.3:6443", True),
        ("10.0.0.0/8", "https://11.1.2.3:6443", False),
        ("10.0.0.0/8", "https://kube.corp.example", False),
        ("fd00::1", "https://[fd00::1]:6443", True),
        ("[fd00::1]", "https://[fd00::1]:6443", True),
        ("[fd00::1]:6443", "https://[fd00::1]:6443", True),
        ("[fd00::1]:443", "https://[fd00::1]:6443", False),
        ("fd00::/8", "https://[fd00::1]", True),
        ("other.example, *.corp.example", "https://kube.corp.example", True),
        (":443", "https://kube.corp.example", False),
        (",,", "https://kube.corp.example", False),
        ("corp.example", "https://user:p@kube.corp.example/prefix", True),
    ],
)
def test_no_proxy_has_the_forms_of_go(no_proxy: str, host: str, bypassed: bool) -> None:
    """Names with and without `*.`, addresses and networks, with and without a port."""
    settings = ConnectionSettings(host, proxy="http://proxy:3128", no_proxy=no_proxy)
    assert (proxy_for(settings) is None) is bypassed


def loaded(server: str, **cluster: Any) -> ConnectionSettings:
    """The settings of a kubeconfig."""
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_kube_config_from_dict(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        },
        client_configuration=configuration,
    )
    return ConnectionSettings.of(configuration)


@pytest.mark.usefixtures("official_environment")
@pytest.mark.parametrize("environment", ["http://other:3128", "http://proxy:3128", ""])
def test_the_proxy_url_of_a_kubeconfig_is_unconditional(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY concerns the proxies of the environment only, as for kubectl."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTPS_PROXY", environment)
    proxy = proxy_for(loaded("https://kube.corp.example", **{"proxy-url": "http://proxy:3128"}))
    assert proxy is not None
    assert proxy.url == "http://proxy:3128"
    assert proxy_for(loaded("https://kube.corp.example")) is None


def test_a_users_own_no_proxy_applies_to_his_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both stand in the configuration, so that they belong together."""
    from kubernetes.client import Configuration

    monkeypatch.setenv("NO_PROXY", "other.example")
    configuration: Any = Configuration(host="https://kube.corp.example")
    configuration.proxy, configuration.no_proxy = "http://proxy:3128", "*.corp.example"
    assert proxy_for(ConnectionSettings.of(configuration)) is None
