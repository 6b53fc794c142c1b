"""Kubeconfigs by the grammar of an attacker: each is read or refused, in bounded time, and its messages fit a log."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from informer import KubeconfigError, load_client
from informer.kubeconfig.find import find_access
from informer.kubeconfig.merge import KubeconfigText, merge
from informer.transport.exec_plugin import ExecPluginError, _credential_in

SECRET = "s3cr3tT0k3n"
API = "client.authentication.k8s.io/v1"

_PIECES = (
    "a",
    "c",
    "k",
    "\n",
    "\r",
    "\t",
    "\0",
    "\x1b[2J",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u2028",
    "\ud800",
    "\u0000",
    "/",
    "..",
)
texts = st.lists(st.sampled_from(_PIECES), max_size=6).map("".join) | st.sampled_from(
    ["c", "k", "u", "x" * 100_000, "*" * 50]
)
odd = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 2**63, 2**64, 10**4000, 1e308, -0.0, "9" * 5000, [], {}, "", {"a": {}}, [[[[]]]]])
    | texts
)
nested = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


def mapping_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping in which each key is missing, as it should be, or of another kind."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, nested))


clusters = mapping_of(
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "extensions",
    "proxy-url",
    "insecure-skip-tls-verify",
)
users = mapping_of(
    *("username", "as", "as-groups", "as-user-extra", "client-certificate", "client-key-data", "exec", "auth-provider"),
    *("tokenFile", "client-key", "client-certificate-data"),
).map(lambda user: {**user, "token": SECRET})
contexts = st.fixed_dictionaries({"cluster": texts, "user": texts}, optional={"namespace": nested})
kubeconfigs = st.fixed_dictionaries(
    {},
    optional={
        "current-context": texts | nested,
        "kind": nested,
        "contexts": st.lists(st.fixed_dictionaries({"name": texts, "context": contexts}), max_size=2) | nested,
        "clusters": st.lists(st.fixed_dictionaries({"name": texts, "cluster": clusters}), max_size=2) | nested,
        "users": st.lists(st.fixed_dictionaries({"name": texts, "user": users}), max_size=2) | nested,
    },
)


def fits_a_log(message: str) -> None:
    assert message.isprintable()
    assert len(message) < 10_000
    assert SECRET not in message


@given(kubeconfigs, st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_kubeconfig_is_read_or_refused(config: Any, ascii_only: bool) -> None:
    """An error names the place and quotes no token."""
    text = json.dumps(config, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        merged = merge([KubeconfigText("/config", text)])
        for context in ("", *merged.contexts):
            merged.access(context)
    except KubeconfigError as error:
        fits_a_log(str(error))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "apiVersion": st.just(API) | nested,
            "kind": st.just("ExecCredential") | nested,
            "status": st.fixed_dictionaries(
                {"token": st.just(SECRET) | nested},
                optional={
                    "clientCertificateData": nested,
                    "clientKeyData": nested,
                    "expirationTimestamp": nested
                    | st.sampled_from(
                        ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
                    ),
                },
            )
            | nested,
        },
    ),
    st.sampled_from([b"", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b"\xef\xbb\xbf"]),
)
@settings(max_examples=100, deadline=None)
def test_any_answer_of_a_plugin_is_read_or_refused(answer: Any, before: bytes) -> None:
    """An error quotes nothing of the answer."""
    failure = None
    try:
        _credential_in(before + json.dumps(answer).encode(), "plugin", API)
    except ExecPluginError as error:
        failure = error
    if failure is not None:
        fits_a_log(str(failure))
        assert failure.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 1_000_000, id="nested lists"),
        pytest.param("{a: " * 1_000_000, id="nested mappings"),
        pytest.param("- " * 500_000, id="nested blocks"),
        pytest.param("a: &a [*a]", id="an alias of itself"),
        pytest.param("a: &a {b: *a}", id="a mapping in itself"),
        pytest.param("a: &a {*a : 1}", id="a key of itself"),
        pytest.param("current-context: " + "9" * 1_000_000, id="a huge number"),
        pytest.param("a: 0x" + "f" * 1_000_000, id="a huge hexadecimal number"),
        pytest.param("%" * 1_000_000, id="directives"),
        pytest.param("a: !!python/object/apply:os.abort []", id="a Python object"),
        pytest.param("a: !!timestamp x", id="a tag that does not fit"),
        pytest.param("a: !!int x", id="not a number"),
        pytest.param("a: !!bool x", id="not a truth value"),
        pytest.param("a: !!float ''", id="an empty number"),
        pytest.param("a: !!omap [[]]", id="not a mapping"),
        pytest.param("--- a\n--- [", id="a second document"),
        pytest.param("\0", id="a null character"),
        pytest.param("\x1b[2J: \u202e", id="controls"),
    ],
)
def test_yaml_that_is_made_to_be_expensive(text: str) -> None:
    """It is read or refused within seconds of CPU time."""
    begun = time.process_time()
    try:
        merge([KubeconfigText("/config", text)])
    except KubeconfigError as error:
        fits_a_log(str(error))
    assert time.process_time() - begun < 8


def test_aliases_that_stand_for_billions_of_values() -> None:
    """Such a kubeconfig is refused; the few aliases of a file that a person wrote are accepted."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    with pytest.raises(KubeconfigError, match=r"its aliases \(such as \*name\) repeat too much of it"):
        merge([KubeconfigText("/config", "\n".join(lines))])
    shared = "x: &x {cluster: k, user: u}\ncontexts: [{name: a, context: *x}, {name: b, context: *x}]\n"
    text = shared + "clusters: [{name: k, cluster: {server: 'https://a'}}]\nusers: [{name: u}]"
    assert merge([KubeconfigText("/config", text)]).access("b").cluster.server == "https://a"


def test_a_message_lists_few_names() -> None:
    """A kubeconfig may have thousands of names of any length; the message stays short."""
    names = [{"name": "x" * 1000 + str(number)} for number in range(500)]
    text = json.dumps({"contexts": [{"name": "c", "context": {"cluster": "missing"}}], "clusters": names})
    merged = merge([KubeconfigText("/config", text)])
    with pytest.raises(KubeconfigError, match="and 480 more") as caught:
        merged.access("c")
    fits_a_log(str(caught.value))


# Paths that lead to something else


@pytest.fixture
def silent_pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe whose writer writes nothing."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    yield path
    os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/zero", "it has more than 8388608 bytes"),
        ("/", "Is a directory"),
        ("a\0b", "its path has a character that a path cannot have"),
    ],
)
def test_a_kubeconfig_that_is_not_a_file(path: str, reason: str) -> None:
    """The error names the path and the reason."""
    with pytest.raises(KubeconfigError, match=f"cannot read the kubeconfig .*{reason}"):
        find_access(path)


def test_a_kubeconfig_from_a_silent_pipe(silent_pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read waits for the command that writes the pipe, but not for ever."""
    monkeypatch.setattr("informer.kubeconfig.find._PIPE_SECONDS", 0.2)
    with pytest.raises(KubeconfigError, match="its content did not end in time"):
        find_access(silent_pipe)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("/dev/zero", "it has more than 1048576 bytes, the limit"),
        ("/", "Is a directory"),
        ("pipe", "it is a pipe or device, and its content did not end in time"),
        ("/dev/null", "the file is empty"),
        ("a\0b", "its path has a character that a path cannot have"),
    ],
)
def test_a_token_file_that_is_not_a_file(kind: str, reason: str, silent_pipe: Path, tmp_path: Path) -> None:
    """The request fails within its time limit, and the error gives the reason."""
    path = tmp_path / "config"
    user = {"tokenFile": str(silent_pipe) if kind == "pipe" else kind}
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(config))
    begun = time.monotonic()
    with pytest.raises(OSError, match=f"cannot read the token file .*{reason}"):
        load_client(path).configuration.auth_settings()
    assert time.monotonic() - begun < 10
