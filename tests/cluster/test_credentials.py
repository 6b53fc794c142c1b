"""Credentials that expire, are revoked or change on disk, and rights that are revoked, at a real kube-apiserver.

kube-apiserver does not end an open watch when its credentials become invalid. So a proxy cuts the watches, and the tests
look at how they are requested again.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from informer import ApiError, Backoff, ListWatch, SharedInformer
from tests.cluster.faults.proxy import FaultProxy
from tests.cluster.faults.scene import most_requests
from tests.support.waiting import DEADLINE, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

BACKOFF = Backoff(initial=0.1, maximum=0.5)
WAYS = [{"watch_list": False}, {"watch_list": True}]
# Seconds for which kube-apiserver accepts a token without validating it again.
TOKEN_CACHE = 10.0
EXEC_API = "client.authentication.k8s.io/v1"


def put(path: Path, content: str, mode: int = 0o600) -> None:
    """Replaces a file atomically, as a kubelet does."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.chmod(mode)
    new.replace(path)


class Accounts:
    """Users of a namespace: their rights, and tokens of service accounts."""

    def __init__(self, namespace: Any) -> None:
        self.namespace = namespace
        self.cluster = namespace.cluster
        self._http = urllib3.PoolManager(ca_certs=str(self.cluster.plane.ca_file), retries=False, timeout=10)

    def new(self, name: str, *verbs: str) -> str:
        """Creates a service account with these verbs on pods; returns the user's name."""
        self.cluster.create(self.namespace.path("serviceaccounts"), {"metadata": {"name": name}})
        user = f"system:serviceaccount:{self.namespace.name}:{name}"
        if verbs:
            self.allow(user, *verbs)
        return user

    def allow(self, user: str, *verbs: str) -> None:
        """Grants rights, and waits until the server applies them."""
        self.namespace.grant(user, *verbs)
        assert eventually(lambda: all(self._may(user, verb) for verb in verbs), DEADLINE)

    def forbid(self, user: str, *verbs: str) -> None:
        """Revokes what `allow` granted, and waits until the server applies it."""
        self.namespace.revoke(user, *verbs)
        assert eventually(lambda: not any(self._may(user, verb) for verb in verbs), DEADLINE)

    def token(self, name: str) -> tuple[str, Callable[[], None]]:
        """Returns a service account's token for ten minutes, bound to a Secret, and a function that revokes it."""
        secrets = self.namespace.path("secrets")
        bound = self.cluster.create(secrets, {"metadata": {"name": f"bound-{uuid.uuid4().hex[:8]}"}})["metadata"]
        reference = {"kind": "Secret", "apiVersion": "v1", "name": bound["name"], "uid": bound["uid"]}
        answer = self.cluster.create(
            f"{self.namespace.path('serviceaccounts')}/{name}/token",
            {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}},
        )
        return answer["status"]["token"], lambda: self.cluster.delete(f"{secrets}/{bound['name']}")

    def revoked_token(self, name: str) -> str:
        """Returns a token that was revoked before it was first used."""
        token, revoke = self.token(name)
        revoke()
        self.wait_until_refused(token)
        return token

    def wait_until_refused(self, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        url = self.cluster.plane.url + self.namespace.pods
        assert eventually(lambda: self._http.request("GET", url, headers=headers).status == 401, DEADLINE)

    def _may(self, user: str, verb: str) -> bool:
        attributes = {"namespace": self.namespace.name, "verb": verb, "resource": "pods"}
        answer = self.cluster.create(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {"spec": {"user": user, "resourceAttributes": attributes}},
        )
        return bool(answer["status"]["allowed"])


class Follower:
    """Informers of every way to list, behind a proxy, with their failures."""

    def __init__(self, namespace: Any, informers: Any, proxy: FaultProxy, api_client: Any) -> None:
        self.namespace = namespace
        self.proxy = proxy
        self.errors: list[Exception] = []
        list_watch = ListWatch.for_resource(api_client, "pods", namespace=namespace.name)
        self._informers = informers
        self.made: list[SharedInformer[Any]] = [
            informers.start(
                list_watch,
                backoff=BACKOFF,
                watch_error_handler=lambda informer, error: self.errors.append(error),
                **way,
            )
            for way in WAYS
        ]
        # A watch that ends before its first event is followed by a list anyway; this event rules that out.
        self.follows()
        self._began = time.monotonic()
        self._lists, self._requests = self.lists, self.requests

    @property
    def lists(self) -> list[int]:
        """How often each informer has requested the whole state."""
        return [reflector.lists + reflector.watch_lists for reflector in map(self._informers.reflector, self.made)]

    @property
    def requests(self) -> list[int]:
        return [
            reflector.lists + reflector.watches + reflector.watch_lists
            for reflector in map(self._informers.reflector, self.made)
        ]

    @property
    def refusals(self) -> list[tuple[int, str]]:
        """The distinct refusals of the server."""
        return sorted({(error.status, error.reason) for error in self.errors if isinstance(error, ApiError)})

    def follows(self) -> None:
        """Creates a pod, and waits until each cache equals the server's list."""
        self.namespace.create_pods(f"pod-{uuid.uuid4().hex[:8]}")
        for informer in self.made:
            self._informers.wait_until_equal(informer, self.namespace.cluster, self.namespace.pods)

    def cut(self) -> None:
        """Cuts all watches, so that they are requested again."""
        self.errors.clear()
        assert self.proxy.cut() >= len(self.made)

    def wait_until_refused(self, status: int) -> None:
        """Waits until each informer reports this status, and checks that its cache is unchanged."""
        for informer in self.made:
            assert eventually(
                lambda informer=informer: getattr(informer.sync_error(), "status", None) == status, DEADLINE
            )
            assert informer.has_synced()
            assert len(informer.store) == len(self.namespace.cluster.items(self.namespace.pods))

    def assert_resumed_without_a_list(self) -> None:
        assert (self.refusals, self.lists) == ([], self._lists)
        self._assert_all_watch()

    def assert_few_requests(self) -> None:
        """Fails if an informer sent more requests than its backoff allows."""
        allowed = most_requests(time.monotonic() - self._began, BACKOFF)
        assert max(now - then for now, then in zip(self.requests, self._requests, strict=True)) <= allowed
        self._assert_all_watch()

    def _assert_all_watch(self) -> None:
        for informer in self.made:
            assert eventually(lambda informer=informer: informer.is_watching, DEADLINE)
            assert informer.sync_error() is None


class Clients:
    """Clients whose credentials are in files, made by the official client's loaders."""

    def __init__(self, plane: Any, proxy: FaultProxy, folder: Path) -> None:
        self._plane, self._proxy, self._folder = plane, proxy, folder
        self.token_file = folder / "token"

    def in_cluster(self) -> Any:
        """Returns a client configured as in a pod, with the token in `token_file`."""
        from kubernetes import client
        from kubernetes.config.incluster_config import InClusterConfigLoader

        configuration = client.Configuration()
        address = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self._proxy.port)}
        loader = InClusterConfigLoader(str(self.token_file), str(self._plane.ca_file), environ=address)
        loader.load_and_set(configuration)
        configuration.proxy = None
        return client.ApiClient(configuration)

    def kubeconfig(self, **user: Any) -> Any:
        """Returns a client of a kubeconfig with this user, by default with the token in `token_file`."""
        from kubernetes.config import new_client_from_config_dict

        server = {"server": f"https://127.0.0.1:{self._proxy.port}", "certificate-authority": str(self._plane.ca_file)}
        api_client = new_client_from_config_dict(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": server}],
                "users": [{"name": "u", "user": user or {"tokenFile": str(self.token_file)}}],
            }
        )
        api_client.configuration.proxy = None
        return api_client

    def plugin(self, *answers: dict[str, str]) -> Any:
        """Returns a client with an exec plugin, which returns these answers one after another."""
        for number, status in enumerate(answers, 1):
            answer = {"apiVersion": EXEC_API, "kind": "ExecCredential", "status": status}
            put(self._folder / f"answer-{number}", json.dumps(answer))
        script = self._folder / "plugin"
        put(script, f"#!/bin/sh\ncd {self._folder}\necho >> runs\ncat answer-$(($(wc -l < runs)))\n", 0o700)
        return self.kubeconfig(exec={"apiVersion": EXEC_API, "command": str(script), "interactiveMode": "Never"})

    @property
    def runs(self) -> int:
        """How often the plugin has run."""
        return len((self._folder / "runs").read_text())


@pytest.fixture
def proxy(cluster: Any) -> Iterator[FaultProxy]:
    address = urlsplit(cluster.plane.url)
    made = FaultProxy(address.hostname or "", address.port or 0, random=Random(3))
    yield made
    made.close()


@pytest.fixture
def accounts(namespace: Any) -> Accounts:
    return Accounts(namespace)


@pytest.fixture
def clients(cluster: Any, proxy: FaultProxy, tmp_path: Path) -> Clients:
    return Clients(cluster.plane, proxy, tmp_path)


@pytest.fixture
def follow(namespace: Any, informers: Any, proxy: FaultProxy) -> Callable[[Any], Follower]:
    return lambda api_client: Follower(namespace, informers, proxy, api_client)


# Tokens


@pytest.mark.parametrize("loader", ["in_cluster", "kubeconfig"])
def test_token_replaced_on_disk_in_time_is_not_noticed(accounts, clients, follow, loader):
    """Later requests use the file's new token: nothing is refused or listed, though the old token lost its rights."""
    one = accounts.new("one", "list", "watch")
    accounts.new("two", "list", "watch")
    put(clients.token_file, accounts.token("one")[0])
    follower = follow(getattr(clients, loader)())
    put(clients.token_file, accounts.token("two")[0])
    accounts.forbid(one, "list", "watch")
    follower.cut()
    follower.follows()
    follower.assert_resumed_without_a_list()


def test_refused_token_keeps_the_cache_until_it_is_replaced(accounts, clients, follow):
    """While the file holds a revoked token, the 401 is reported and the cache stays; then the new token is used."""
    accounts.new("one", "list", "watch")
    put(clients.token_file, accounts.token("one")[0])
    follower = follow(clients.in_cluster())
    put(clients.token_file, accounts.revoked_token("one"))
    follower.cut()
    follower.wait_until_refused(401)
    assert follower.refusals == [(401, "Unauthorized")]
    put(clients.token_file, accounts.token("one")[0])
    follower.follows()
    follower.assert_few_requests()


def test_revoked_tokens_are_replaced(accounts, clients, follow):
    """Tokens are revoked while watches are open: the exec plugin runs again at once, the file is read again later.

    This takes as long as the server caches valid tokens, which cannot be configured.
    """
    accounts.new("one", "list", "watch")
    (in_file, revoke_file), (given, revoke_given) = accounts.token("one"), accounts.token("one")
    put(clients.token_file, in_file)
    by_file = follow(clients.in_cluster())
    by_plugin = follow(clients.plugin({"token": given}, {"token": accounts.token("one")[0]}))
    revoke_file()
    revoke_given()
    for token in (in_file, given):
        accounts.wait_until_refused(token)
    by_file.cut()
    by_file.wait_until_refused(401)
    by_plugin.follows()
    by_plugin.assert_resumed_without_a_list()
    assert clients.runs == 2
    put(clients.token_file, accounts.token("one")[0])
    by_file.follows()
    by_file.assert_few_requests()


# Exec plugins


def test_expiring_token_of_a_plugin_is_renewed_in_time(accounts, clients, follow):
    """The plugin states the expiry and runs again before a request is refused, once for all informers."""
    one = accounts.new("one", "list", "watch")
    accounts.new("two", "list", "watch")
    # A token is renewed ten seconds before it expires.
    ends = datetime.now(UTC) + timedelta(seconds=11)
    first = {"token": accounts.token("one")[0], "expirationTimestamp": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    follower = follow(clients.plugin(first, {"token": accounts.token("two")[0]}))
    assert eventually(lambda: datetime.now(UTC) > ends - timedelta(seconds=10), DEADLINE)
    accounts.forbid(one, "list", "watch")
    follower.cut()
    follower.follows()
    follower.assert_resumed_without_a_list()
    assert clients.runs == 2


def test_refused_token_of_a_plugin_is_renewed_once(accounts, clients, follow):
    """The first token is invalid: the plugin runs once more, and the refusal is not reported."""
    accounts.new("one", "list", "watch")
    follower = follow(clients.plugin({"token": accounts.revoked_token("one")}, {"token": accounts.token("one")[0]}))
    assert (follower.refusals, clients.runs) == ([], 2)
    follower.cut()
    follower.follows()
    follower.assert_resumed_without_a_list()
    assert clients.runs == 2


# Client certificates


@pytest.fixture
def issue(client_authority: Any, namespace: Any) -> Callable[[str], tuple[str, str]]:
    """Issues a client certificate for a user of this test; returns the user's name, and certificate and key in one text."""

    def issue(name: str) -> tuple[str, str]:
        user = f"{name}.{namespace.name}"
        return user, Path(client_authority.issue(name=user)).read_text()

    return issue


def test_client_certificate_replaced_on_disk_in_time_is_not_noticed(accounts, clients, follow, issue, tmp_path):
    """The next connection uses the new certificate: nothing is refused or listed, though the old user lost its rights."""
    (one, first), (two, second) = issue("one"), issue("two")
    accounts.allow(one, "list", "watch")
    accounts.allow(two, "list", "watch")
    pair = tmp_path / "client.pem"
    put(pair, first)
    follower = follow(clients.kubeconfig(**{"client-certificate": str(pair), "client-key": str(pair)}))
    put(pair, second)
    accounts.forbid(one, "list", "watch")
    follower.cut()
    follower.follows()
    follower.assert_resumed_without_a_list()


def test_certificate_without_its_key_is_retried(accounts, clients, follow, issue, tmp_path):
    """While only one of two files is new, that is reported and the cache stays; it recovers with the second file."""
    (one, first), (two, second) = issue("one"), issue("two")
    accounts.allow(one, "list", "watch")
    accounts.allow(two, "list", "watch")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    put(certificate, first)
    put(key, first)
    follower = follow(clients.kubeconfig(**{"client-certificate": str(certificate), "client-key": str(key)}))
    put(certificate, second)
    accounts.forbid(one, "list", "watch")
    follower.cut()
    for informer in follower.made:
        assert eventually(lambda informer=informer: "key" in str(informer.sync_error()).lower(), DEADLINE)
        assert len(informer.store) == 1
    put(key, second)
    follower.follows()
    follower.assert_few_requests()


# Rights


def test_revoked_and_granted_rights(accounts, clients, follow):
    """`sync_error` names user, verb and resource; the cache stays, and the informer recovers once the rights are back."""
    user = accounts.new("one", "list", "watch")
    put(clients.token_file, accounts.token("one")[0])
    follower = follow(clients.in_cluster())
    accounts.forbid(user, "list", "watch")
    follower.cut()
    follower.wait_until_refused(403)
    for informer in follower.made:
        assert re.search(f'User "{user}" cannot (list|watch) resource "pods"', str(informer.sync_error()))
    assert follower.refusals == [(403, "Forbidden")]
    accounts.allow(user, "list", "watch")
    follower.follows()
    follower.assert_few_requests()


def test_synced_informer_needs_only_the_right_to_watch(accounts, clients, follow):
    """After the right to list was revoked, watches are resumed as before."""
    user = accounts.new("one", "watch")
    accounts.allow(user, "list")
    put(clients.token_file, accounts.token("one")[0])
    follower = follow(clients.in_cluster())
    accounts.forbid(user, "list")
    follower.cut()
    follower.follows()
    follower.assert_resumed_without_a_list()


def test_informer_without_the_right_to_watch_relists(accounts, clients, follow):
    """After the right to watch was revoked, that is reported, lists follow as backoff allows, and later watches again."""
    user = accounts.new("one", "list")
    accounts.allow(user, "watch")
    put(clients.token_file, accounts.token("one")[0])
    follower = follow(clients.in_cluster())
    accounts.forbid(user, "watch")
    follower.cut()
    follower.wait_until_refused(403)
    follower.follows()
    assert follower.refusals == [(403, "Forbidden")]
    assert all(f'User "{user}" cannot watch resource "pods"' in str(error) for error in follower.errors)
    accounts.allow(user, "watch")
    follower.follows()
    follower.assert_few_requests()


def test_watch_list_needs_only_the_right_to_watch(namespace, accounts, clients, informers):
    """The right to watch is enough for a watch list; an informer that lists reports the missing right, and syncs later."""
    user = accounts.new("one", "watch")
    put(clients.token_file, accounts.token("one")[0])
    namespace.create_pods("a")
    list_watch = ListWatch.for_resource(clients.in_cluster(), "pods", namespace=namespace.name)
    watching = informers.start(list_watch, watch_list=True)
    listing = informers.start(list_watch, watch_list=False, synced=False)
    assert eventually(lambda: f'User "{user}" cannot list resource "pods"' in str(listing.sync_error()), DEADLINE)
    assert [obj.name for obj in watching.store.list()] == ["a"]
    assert not listing.has_synced()
    accounts.allow(user, "list")
    assert listing.wait_for_sync(DEADLINE)
    assert [obj.name for obj in listing.store.list()] == ["a"]
