"""Kubeconfig files as one: what wins, what relative paths are relative to, and what is refused by name."""

from __future__ import annotations

import base64
import traceback
from typing import Any

import pytest
import yaml

from informer import KubeconfigError
from informer.kubeconfig.access import ClusterAccess
from informer.kubeconfig.merge import KubeconfigText, merge

SECRET = "s3cr3t-value"
PEM = base64.b64encode(SECRET.encode()).decode()
CONTEXT = {"name": "c", "context": {"cluster": "k", "user": "u"}}
CLUSTER = {"name": "k", "cluster": {"server": "https://a:6443"}}


def whole(user: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A kubeconfig with one context."""
    users = [{"name": "u", "user": {"token": SECRET} if user is None else user}]
    return {"current-context": "c", "contexts": [CONTEXT], "clusters": [CLUSTER], "users": users, **changes}


def cluster(server: str = "https://a", **settings: Any) -> list[dict[str, Any]]:
    return [{"name": "k", "cluster": {"server": server, **settings}}]


def access(*files: Any, context: str | None = None) -> ClusterAccess:
    """Files /1/config, /2/config and so on, each as YAML text or as an object."""
    texts = [file if isinstance(file, str | bytes) else yaml.safe_dump(file, sort_keys=False) for file in files]
    return merge(KubeconfigText(f"/{number}/config", text) for number, text in enumerate(texts, 1)).access(context)


@pytest.mark.parametrize(
    ("files", "server", "token"),
    [
        pytest.param([whole()], "https://a:6443", SECRET, id="one"),
        pytest.param(["", "# nothing\n", "---\n", "{}", whole()], "https://a:6443", SECRET, id="empty-files"),
        pytest.param(
            [whole(), whole({"token": "2"}, clusters=cluster("https://b"))], "https://a:6443", SECRET, id="1st"
        ),
        pytest.param([{"current-context": ""}, whole()], "https://a:6443", SECRET, id="empty-current-context"),
        pytest.param([{"current-context": None, "users": None}, whole()], "https://a:6443", SECRET, id="null"),
        pytest.param([{"users": [{"name": "u", "user": {}}]}, whole()], "https://a:6443", "", id="whole-entries"),
        pytest.param([{"clusters": cluster("https://b")}, whole()], "https://b", SECRET, id="parts"),
        pytest.param([whole(clusters=cluster("host:1"))], "http://host:1", SECRET, id="no-scheme"),
        pytest.param(
            [whole(clusters=cluster("host:1/", **{"certificate-authority-data": PEM}))],
            "https://host:1",
            SECRET,
            id="no-scheme-with-authority",
        ),
        pytest.param(
            [whole(contexts=[{"name": "c", "context": {"cluster": "k"}}])], "https://a:6443", "", id="anonymous"
        ),
        pytest.param([yaml.safe_dump(whole()) + "---\ncurrent-context: d\n"], "https://a:6443", SECRET, id="documents"),
    ],
)
def test_the_first_file_that_says_something_wins(files: list[Any], server: str, token: str) -> None:
    """For the current context and for each name; an entry comes whole from one file."""
    found = access(*files)
    assert (found.cluster.server, found.user.token, found.context) == (server, token, "c")


def test_relative_paths_lie_beside_the_file_that_says_them() -> None:
    """Not beside the first file, nor the cluster's. A command without a slash is looked for in PATH."""
    section = {"apiVersion": "v1", "command": "./plugin.sh"}
    user = {"tokenFile": "t", "client-certificate": "../c.pem", "client-key": "/k.pem", "exec": section}
    found = access(
        {"current-context": "c", "contexts": [CONTEXT]},
        {"clusters": cluster(**{"certificate-authority": "ca.pem"})},
        {"users": [{"name": "u", "user": user}]},
    )
    assert found.cluster.authority.path == "/2/ca.pem"
    assert (found.user.token_file, found.user.certificate.path, found.user.key.path) == ("/3/t", "/c.pem", "/k.pem")
    assert found.user.exec is not None
    assert found.user.exec["command"] == "/3/plugin.sh"
    assert found.user.file == "/3/config"
    in_path = access(whole({"exec": {"command": "plugin"}})).user.exec
    assert in_path == {"command": "plugin"}


def test_data_has_precedence_over_a_path() -> None:
    """As in client-go. Line breaks within base64 are harmless."""
    settings = {"certificate-authority": "ca.pem", "certificate-authority-data": f"{PEM[:4]}\n{PEM[4:]}"}
    found = access(whole(clusters=cluster(**settings))).cluster.authority
    assert (found.data, found.path) == (SECRET.encode(), "")


def test_all_settings_of_a_cluster_are_read() -> None:
    """And the context's namespace."""
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
    settings = {
        "tls-server-name": "name",
        "insecure-skip-tls-verify": True,
        "proxy-url": "socks5://proxy",
        "disable-compression": True,
        "extensions": [{"name": "other"}, extension],
    }
    context = {"cluster": "k", "user": "u", "namespace": "shop"}
    found = access(whole(clusters=cluster(**settings), contexts=[{"name": "d", "context": context}]), context="d")
    assert (found.namespace, found.context) == ("shop", "d")
    assert (found.cluster.tls_server_name, found.cluster.verify) == ("name", False)
    assert (found.cluster.proxy_url, found.cluster.disable_compression) == ("socks5://proxy", True)
    assert found.cluster.exec_config == {"audience": "a"}


def test_impersonation_becomes_headers() -> None:
    """Go: TestImpersonationRoundTripper. A key of `as-user-extra` is escaped as a header's name needs it."""
    extra = {"scopes": ["view", "deploy"], "example.com/a b": ["1"], "none": None}
    user = {"token": "t", "as": "jane", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": extra}
    assert access(whole(user)).user.impersonation == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-scopes", "view"),
        ("Impersonate-Extra-scopes", "deploy"),
        ("Impersonate-Extra-example.com%2Fa%20b", "1"),
    )


def test_a_date_is_text() -> None:
    """As kubectl reads it; PyYAML would make an object of it."""
    context = "name: 2026-11-28\n  context: {cluster: k, user: u}"
    text = f"current-context: 2026-11-28\nclusters: [{{name: k, cluster: {{server: 'https://a'}}}}]\ncontexts:\n- {context}\n"
    assert access(text + "users: [{name: u, user: {token: 2026-01-01T00:00:00Z}}]").user.token == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("files", "context", "message"),
    [
        pytest.param([whole()], "d", r"no context is named 'd' in /1/config \(there: 'c'\)", id="no-context"),
        pytest.param(
            [{"contexts": [CONTEXT]}, {}], None, "/1/config, /2/config sets no current-context", id="no-current-context"
        ),
        pytest.param(
            [whole(clusters=None), {}],
            None,
            r"context 'c' in /1/config names the cluster 'k', which /1/config, /2/config lacks \(there: none\)",
            id="no-cluster",
        ),
        pytest.param(
            [whole(users=[])], None, "context 'c' in /1/config names the user 'u', which /1/config lacks", id="no-user"
        ),
        pytest.param(
            [whole(contexts=[{"name": "c", "context": {"cluster": ""}}])],
            None,
            "names no cluster",
            id="unnamed-cluster",
        ),
        pytest.param(
            [{}, whole(clusters=[{"name": "k"}])], None, "cluster 'k' in /2/config has no server", id="no-server"
        ),
        pytest.param(
            [whole(clusters=[CLUSTER, CLUSTER])], None, "/1/config has two clusters named 'k'", id="two-of-a-name"
        ),
        pytest.param(
            [whole({"token": 5})], None, r"Expected `str`, got `int` - at `\$.users\[0\].user.token`", id="number"
        ),
        pytest.param([whole({"token": [SECRET]})], None, "Expected `str`, got `array`", id="list-for-text"),
        pytest.param([f"- {SECRET}"], None, "/1/config is not a kubeconfig: Expected `object`", id="list"),
        pytest.param([SECRET], None, "/1/config is not a kubeconfig: Expected `object`", id="text"),
        pytest.param([f"a: {SECRET}\nb: [{SECRET}"], None, r"it is not YAML \(line 2, column", id="no-yaml"),
        pytest.param([f"a: &x {SECRET}\n\tb"], None, "it is not YAML", id="tab"),
        pytest.param([b"\xff\xfe\xfa" + SECRET.encode()], None, "it is not UTF-8 text", id="bytes"),
        pytest.param([{"kind": SECRET}], None, "of kind Config and apiVersion v1", id="kind"),
        pytest.param(
            [whole({"client-key-data": SECRET})],
            None,
            "user 'u' in /1/config: client-key-data is not base64",
            id="base64",
        ),
        pytest.param(
            [whole({"client-certificate-data": PEM})],
            None,
            "user 'u' in /1/config has a client-certificate, but no client-key",
            id="no-key",
        ),
        pytest.param([whole({"as-groups": [SECRET]})], None, "as-groups or as-user-extra, but no as", id="no-as"),
        pytest.param([whole({"exec": {}, "auth-provider": {}})], None, "both exec and auth-provider", id="two-ways"),
    ],
)
def test_what_is_missing_or_malformed_is_named(files: list[Any], context: str | None, message: str) -> None:
    """By file, entry and key. No value is quoted, neither by the error nor by its cause or context."""
    with pytest.raises(KubeconfigError, match=message) as caught:
        access(*files, context=context)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_repr_shows_no_credentials() -> None:
    """A description may be logged."""
    data = {"client-certificate-data": PEM, "client-key-data": PEM, "exec": {"env": [SECRET]}}
    secrets = {"token": SECRET, "username": SECRET, "password": SECRET, **data}
    found = access(whole(secrets, clusters=cluster(f"https://u:{SECRET}@a", **{"proxy-url": f"http://u:{SECRET}@p"})))
    assert SECRET not in repr(found)
    assert "b'" not in repr(found)
