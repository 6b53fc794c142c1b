"""Messages of docs/errors.md about connections, TLS and proxies, each in full."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from informer.transport.settings import ConnectionSettings
from informer.transport.tls_errors import explain_tls_error
from informer.transport.transport import Transport
from tests.support.messages import check_raised, ids, matches, raised_by
from tests.support.waiting import Task

OK = {"ok": True}
PASSWORD = "pa55word"


def ask(api_client: Any) -> Callable[[], object]:
    return lambda: Transport(api_client).get_json("/api")


@contextlib.contextmanager
def one_connection(answer: bytes) -> Iterator[int]:
    """A port on which one connection is accepted, read from once, answered and closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        task = Task(serve_one, ())
        yield listener.getsockname()[1]
        task.result()


CERTIFICATES: list[tuple[dict[str, Any], dict[str, str], str]] = [
    (
        {"expired": True},
        {"ssl_ca_cert": "ITS"},
        "certificate verify failed: the certificate of the server or of its authority has expired: renew it, or correct this "
        "machine's clock",
    ),
    (
        {"starts_later": True},
        {"ssl_ca_cert": "ITS"},
        "certificate verify failed: the server's certificate is not valid yet: correct this machine's clock",
    ),
    (
        {},
        {"ssl_ca_cert": "OTHER"},
        "certificate verify failed: the server's certificate is not signed by the authority in OTHER (<...>): set the "
        "kubeconfig's certificate-authority, or the configuration's ssl_ca_cert, to the cluster's",
    ),
    (
        {"host": "elsewhere.test"},
        {"ssl_ca_cert": "ITS"},
        "certificate verify failed: the server's certificate is for another name (<...>): connect to a name that the "
        "certificate has, or set the kubeconfig's tls-server-name to one",
    ),
    (
        {},
        {"ssl_ca_cert": "MISSING"},
        "the certificate-authority MISSING is missing, or this process may not read it",
    ),
    (
        {"wants_client": True},
        {"ssl_ca_cert": "ITS", "cert_file": "FOREIGN", "key_file": "FOREIGN"},
        "the server does not accept the client certificate FOREIGN (TLS: <...>): it may have expired, or be signed by another "
        "authority",
    ),
]


@pytest.mark.parametrize(("served", "settings", "message"), CERTIFICATES, ids=ids(CERTIFICATES))
def test_a_certificate_that_is_not_accepted(
    served: dict[str, Any], settings: dict[str, str], message: str, serve: Any, make_authority: Any, tmp_path: Path
) -> None:
    """The message names the certificate, the reason, and what to change."""
    its, other = make_authority(), make_authority()
    files = {
        "ITS": its.path,
        "OTHER": other.path,
        "FOREIGN": other.issue(name="foreign"),
        "MISSING": str(tmp_path / "missing.pem"),
    }
    host = served.get("host", "127.0.0.1")
    tls = its.server_context(host, wants_client=served.get("wants_client", False), expired=served.get("expired", False))
    if served.get("starts_later"):
        tls.load_cert_chain(valid_from_tomorrow(its, host))
    server = serve(lambda _, connection: connection.answer(OK), tls=tls)
    api_client = server.client(**{name: files[value] for name, value in settings.items()})
    for word, path in files.items():
        message = message.replace(word, path)
    # The connection may close before the reason for a refusal is read: the next attempt reports it.
    said = [raised_by(ask(api_client)) for _ in range(20 if served.get("wants_client") else 1)]
    assert any(matches(each, f"cannot reach {server.url}: {message}") for each in said), said


def valid_from_tomorrow(authority: Any, host: str) -> str:
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    pair = authority._authority.issue_cert(host, not_before=tomorrow, not_after=tomorrow + datetime.timedelta(days=1))
    path: Path = authority.folder / "later.pem"
    path.write_bytes(pair.cert_chain_pems[0].bytes() + pair.private_key_pem.bytes())
    return str(path)


def test_any_other_refusal_of_openssl_is_quoted(serve: Any) -> None:
    """OpenSSL has about eighty reasons; those without a message of the library's own are quoted."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = 26, "unsuitable certificate purpose"
    settings = ConnectionSettings.of(serve(lambda *_: None).client().configuration)
    assert explain_tls_error(error, settings) == (
        "certificate verify failed: the server's certificate was not accepted: unsuitable certificate purpose"
    )


def test_a_server_that_ends_the_handshake(serve: Any) -> None:
    """The server gives no reason, so the message names the likely ones."""
    with one_connection(b"") as port:
        check_raised(
            ask(serve(lambda *_: None).client(host=f"https://127.0.0.1:{port}")),
            f"cannot reach https://127.0.0.1:{port}: the server closed the connection during the TLS handshake: it is "
            "overloaded, or does not accept a connection without a client certificate",
        )


def test_an_address_without_a_scheme(serve: Any) -> None:
    """Without a scheme, http:// is used; the message asks whether the server needs https://."""
    with one_connection(b"") as port:
        check_raised(
            ask(serve(lambda *_: None).client(host=f"127.0.0.1:{port}")),
            f"cannot reach http://127.0.0.1:{port}: <...> (its address has no scheme, so http:// was used: write https:// if "
            "the server speaks TLS)",
        )


def test_a_token_with_a_line_break(serve: Any) -> None:
    """The message suggests the cause and does not show the token."""
    server = serve(lambda _, connection: connection.answer(OK))
    check_raised(
        ask(server.client(api_key={"authorization": f"Bearer a\n{PASSWORD}"})),
        f"cannot reach {server.url}: a header or the address is malformed (a line break in a token, for example)",
    )


PROXIES: list[tuple[str, str]] = [
    (
        "https://me:pa55word@PLAIN",
        "the proxy https://PLAIN (from HTTPS_PROXY) does not speak TLS, so its address should probably begin with http:// "
        "(TLS: <...>): correct HTTPS_PROXY, or name the server in NO_PROXY",
    ),
    (
        "http://me:pa55word@[",
        "the proxy <...> (from HTTPS_PROXY) has a malformed address: correct HTTPS_PROXY, or name the server in NO_PROXY",
    ),
    (
        "ftp://me:pa55word@PLAIN",
        "the proxy ftp://PLAIN (from HTTPS_PROXY) must begin with http://, https:// or socks5://: correct HTTPS_PROXY, or name "
        "the server in NO_PROXY",
    ),
    (
        "socks5://me:pa55word@PLAIN",
        "the proxy socks5://PLAIN (from HTTPS_PROXY) needs the package PySocks: pip install 'urllib3[socks]'",
    ),
]


@pytest.mark.parametrize(("proxy", "message"), PROXIES, ids=ids(PROXIES))
def test_a_proxy_that_cannot_be_used(proxy: str, message: str, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the proxy and the variable that sets it, without the password."""
    with contextlib.ExitStack() as stack:
        # Only the first of them gets a connection.
        port = stack.enter_context(one_connection(b"HTTP/1.0 400 Bad Request\r\n\r\n")) if "https" in proxy else 1
        plain = f"127.0.0.1:{port}"
        api_client = serve(lambda *_: None).client(host="https://kube.invalid")
        # Set later, since the constructor of the official client refuses some of these.
        name = "_proxy" if hasattr(api_client.configuration, "_proxy") else "proxy"
        address = proxy.replace("PLAIN", plain)
        setattr(api_client.configuration, name, address)
        api_client.configuration.no_proxy = None
        monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
        for variable in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(variable, address)
        said = raised_by(ask(api_client))
    expected = "cannot reach https://kube.invalid: " + message.replace("PLAIN", plain)
    assert matches(said, expected), said
    assert said.count("the proxy") == 1
    assert PASSWORD not in said
