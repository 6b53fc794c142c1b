"""Odd kubeconfigs, read by this package and by the real kubectl: both find the same cluster and user, or both refuse."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from informer import KubeconfigError
from informer.kubeconfig.access import Pem
from informer.kubeconfig.find import find_access

_KUBECTL = Path(os.environ.get("KUBEBUILDER_ASSETS", "")) / "kubectl"

pytestmark = pytest.mark.skipif(
    not os.environ.get("KUBEBUILDER_ASSETS") or not _KUBECTL.is_file(),
    reason="KUBEBUILDER_ASSETS does not name a folder with kubectl",
)

CONTEXT = "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
USER = "users: [{name: u, user: {token: t}}]\n"
A = "current-context: c\nclusters: [{name: k, cluster: {server: 'https://a'}}]\n" + CONTEXT + USER
B = A.replace("https://a", "https://b").replace("token: t", "token: b")
FILES = {
    "a": A,
    "b": B,
    "no-context": A.replace("current-context: c", 'current-context: ""'),
    "other-context": 'current-context: d\ncontexts: [{name: d, context: {cluster: k, user: u, namespace: "n"}}]\n',
    "empty": "",
    "comment": "# nothing\n",
    "null": "null\n",
    "document": "---\n",
    "documents": "current-context: c\n---\ncurrent-context: d\n",
    "nulls": "current-context: null\nclusters: null\ncontexts: null\nusers: null\npreferences: {}\n",
    "part": "clusters: [{name: k, cluster: {server: 'https://p', tls-server-name: x, proxy-url: 'http://p:1'}}]\n",
    "user-part": "users: [{name: u, user: {as: jane, as-groups: [g, h], as-uid: '1', as-user-extra: {k: [v]}}}]\n",
    "unknown-keys": A + "more: {x: 1}\n",
    "kind": "kind: Foo\n" + A,
    "version": "apiVersion: v2\n" + A,
    "right-kind": "kind: Config\napiVersion: v1\n" + A,
    "json": json.dumps({"current-context": "c", "clusters": [{"name": "k", "cluster": {"server": "https://j"}}]}),
    "number": A.replace("token: t", "token: 123"),
    "bool": A.replace("token: t", "token: yes"),
    "date": A.replace("token: t", "token: 2020-01-01"),
    "base-60": A.replace("token: t", "token: 12:30:45"),
    "underscores": A.replace("token: t", "token: 1_000"),
    "equals": A.replace("token: t", "token: ="),
    "merge": A.replace("token: t", "token: <<"),
    "null-entries": A.replace("users: [", "users: [null, ").replace("clusters: [", "clusters: [null, "),
    "tilde": A.replace("token: t", "token: ~"),
    "yes": A.replace("{server: 'https://a'}", "{server: 'https://a', insecure-skip-tls-verify: yes}"),
    "text-for-bool": A.replace("{server: 'https://a'}", "{server: 'https://a', insecure-skip-tls-verify: 'true'}"),
    "twice": A.replace("clusters: [", "clusters: [{name: k, cluster: {server: 'https://0'}}, "),
    "twice-a-key": "current-context: nowhere\n" + A,
    "list": "- a\n",
    "text": "text\n",
    "no-yaml": "a: [\n",
    "base64": A.replace("{token: t}", "{token: t, client-key-data: '%%'}"),
    "no-user": A.replace(USER, ""),
    "no-cluster": "current-context: c\n" + CONTEXT + USER,
    "anonymous": A.replace(", user: u", ""),
    "unnamed": A.replace("name: c, ", ""),
    "bom": "\ufeff" + A,
    "crlf": A.replace("\n", "\r\n"),
    "anchors": A.replace("{token: t}", "&x {token: t}"),
    "merge-key": "x: &x {token: m}\n" + A.replace("{token: t}", "{<<: *x}"),
    "files/rel": A.replace("{server: 'https://a'}", "{server: 'https://a', certificate-authority: pem}").replace(
        "{token: t}", "{client-certificate: ./pem, client-key: ../files/pem, tokenFile: ../files/pem}"
    ),
    "files/exec": USER.replace("{token: t}", "{exec: {apiVersion: v1, command: ./plugin, args: ['1']}}"),
    "files/in-path": USER.replace("{token: t}", "{exec: {apiVersion: v1, command: plugin}}"),
    "data": A.replace("{server: 'https://a'}", "{server: 'https://a', certificate-authority-data: cGVt}"),
    "password": A.replace("{token: t}", "{username: u, password: p}"),
}
LISTS = [
    *([name] for name in FILES if name not in ("files/exec", "files/in-path")),
    ["a", "b"],
    ["b", "a"],
    ["no-context", "b"],
    ["no-context", "empty"],
    ["empty", "comment", "null", "document", "nulls", "a"],
    ["other-context", "a"],
    ["a", "other-context"],
    ["documents", "a"],
    ["part", "b"],
    ["b", "part"],
    ["user-part", "a"],
    ["json", "a"],
    ["a", "number"],
    ["a", "twice"],
    ["a", "list"],
    ["missing", "a"],
    ["missing"],
    ["", "a", ""],
    ["a", "a"],
    ["files/exec", "a"],
    ["files/in-path", "a"],
    ["other-context", "files/exec", "data"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files."""
    folder = tmp_path_factory.mktemp("kubeconfigs")
    (folder / "files").mkdir()
    (folder / "files" / "pem").write_text("content")
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode())
    return folder


def kubectl_view(environment: dict[str, str]) -> dict[str, Any] | None:
    """What kubectl makes of the files; None when it refuses them."""
    command = [str(_KUBECTL), "config", "view", "--minify", "--flatten", "--raw", "-o", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def pem(pem: Pem) -> str:
    """As `--flatten` shows it: the content in base64."""
    return base64.b64encode(pem.data or (Path(pem.path).read_bytes() if pem.path else b"")).decode()


def absolute(path: str, folder: Path) -> str:
    """`--flatten` shows these paths as the file has them, and only the files in one folder have such."""
    return os.path.normpath(folder / path) if "/" in path else path


def impersonated(user: dict[str, Any]) -> list[str]:
    extra = [value for values in user.get("as-user-extra", {}).values() for value in values]
    return [value for value in (user.get("as"), user.get("as-uid")) if value] + user.get("as-groups", []) + extra


@pytest.mark.parametrize("names", LISTS, ids=":".join)
def test_kubectl_finds_the_same(names: list[str], folder: Path) -> None:
    """Or refuses the files, too."""
    kubeconfig = os.pathsep.join(str(folder / name) if name else "" for name in names)
    environment = {"HOME": str(folder / "home"), "KUBECONFIG": kubeconfig}
    seen = kubectl_view(environment)
    if seen is None:
        with pytest.raises(KubeconfigError):
            find_access(environment=environment, service_account=folder)
        return
    found = find_access(environment=environment, service_account=folder)
    cluster, context = seen["clusters"][0]["cluster"], seen["contexts"][0]["context"]
    user = seen["users"][0]["user"] if seen["users"] else {}
    assert (found.context, found.namespace) == (seen["current-context"], context.get("namespace", "default"))
    assert (found.cluster.name, found.user.name) == (context["cluster"], context.get("user", ""))
    assert found.cluster.server == cluster["server"]
    assert found.cluster.verify != cluster.get("insecure-skip-tls-verify", False)
    assert found.cluster.tls_server_name == cluster.get("tls-server-name", "")
    assert found.cluster.proxy_url == cluster.get("proxy-url", "")
    assert pem(found.cluster.authority) == cluster.get("certificate-authority-data", "")
    assert (found.user.token, found.user.username, found.user.password) == tuple(
        user.get(key, "") for key in ("token", "username", "password")
    )
    assert found.user.token_file == absolute(user.get("tokenFile", ""), folder / "files")
    assert pem(found.user.certificate) == user.get("client-certificate-data", "")
    assert pem(found.user.key) == user.get("client-key-data", "")
    assert [value for _, value in found.user.impersonation] == impersonated(user)
    command = user.get("exec", {}).get("command", "")
    assert (found.user.exec or {}).get("command", "") == absolute(command, folder / "files")
