"""Requests that a real kube-apiserver refuses: the informer reports which and why, and recovers once they are allowed."""

from __future__ import annotations

import pytest

from informer import ApiError, ListWatch
from watch import Channel

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


def watching_failures(informers, list_watch, **options):
    """Starts an informer that is refused; returns it with a channel of its watch errors."""
    failures = Channel(None)
    informer = informers.start(
        list_watch, synced=False, watch_error_handler=lambda informer, error: failures.put(error), **options
    )
    return informer, failures


@pytest.mark.parametrize("watch_list", [False, True], ids=["list-and-watch", "watch-list"])
def test_forbidden_list_names_the_missing_right(namespace, informers, watch_list):
    """After a 403 `sync_error` names verb, resource and namespace; the informer syncs once it is allowed."""
    namespace.create_pods("a")
    api_client = namespace.cluster.plane.api_client(user="nobody")
    list_watch = ListWatch.for_resource(api_client, "pods", namespace=namespace.name)
    informer, failures = watching_failures(informers, list_watch, watch_list=watch_list)
    failures.get(10)
    assert not informer.has_synced()
    error = informer.sync_error()
    assert isinstance(error, ApiError)
    assert (error.status, error.reason) == (403, "Forbidden")
    assert "failed to list pods" in str(error)
    assert f'User "nobody" cannot list resource "pods" in API group "" in the namespace "{namespace.name}"' in str(
        error
    )
    namespace.grant("nobody", "list", "watch")
    assert informer.wait_for_sync(20)
    assert informer.sync_error() is None
    assert [obj.name for obj in informer.store.list()] == ["a"]


def test_forbidden_watch_is_reported(namespace, informers):
    """The informer syncs, and reports that the watch is forbidden."""
    namespace.create_pods("a")
    namespace.grant("nobody", "list")
    api_client = namespace.cluster.plane.api_client(user="nobody")
    list_watch = ListWatch.for_resource(api_client, "pods", namespace=namespace.name)
    informer, failures = watching_failures(informers, list_watch)
    error = failures.get(10)
    assert informer.wait_for_sync(10)
    assert (error.status, error.reason) == (403, "Forbidden")
    assert "failed to watch pods" in str(error)
    assert 'cannot watch resource "pods"' in str(error)


def test_wrong_token_is_reported_and_replaced(namespace, informers):
    """A 401 keeps the informer from syncing until the client's configuration has a valid token."""
    api_client = namespace.cluster.plane.api_client(token="s3cr3t-t0ken")
    list_watch = ListWatch.for_resource(api_client, "pods", namespace=namespace.name)
    informer, failures = watching_failures(informers, list_watch)
    failures.get(10)
    error = informer.sync_error()
    assert isinstance(error, ApiError)
    assert (error.status, error.reason) == (401, "Unauthorized")
    assert not informer.has_synced()
    assert "s3cr3t-t0ken" not in str(error)
    api_client.configuration.api_key["authorization"] = f"Bearer {namespace.cluster.plane.token()}"
    assert informer.wait_for_sync(20)


def test_informer_of_several_namespaces(cluster, make_namespace, informers):
    """One informer of three namespaces holds and follows the objects of these three."""
    spaces = [make_namespace() for _ in range(3)]
    make_namespace().create_pods("not-mine")
    for space in spaces:
        space.create_pods("a", "b")
    names = [space.name for space in spaces]
    informer = informers.start(ListWatch.for_resource(cluster.api_client, "pods", namespace=names))
    informers.wait_until_equal(informer, cluster, *(space.pods for space in spaces))
    spaces[0].delete_pod("a")
    spaces[1].label_pod("a", color="green")
    spaces[2].create_pods("c")
    informers.wait_until_equal(informer, cluster, *(space.pods for space in spaces))
    assert len(informer.store) == 6


def test_forbidden_namespace_does_not_stop_the_other(cluster, make_namespace, informers):
    """The forbidden namespace is reported, and the other's objects are followed."""
    allowed, forbidden = make_namespace(), make_namespace()
    allowed.create_pods("a")
    forbidden.create_pods("b")
    allowed.grant("nobody", "list", "watch")
    api_client = cluster.plane.api_client(user="nobody")
    list_watch = ListWatch.for_resource(api_client, "pods", namespace=[allowed.name, forbidden.name])
    informer, failures = watching_failures(informers, list_watch)
    error = failures.get(10)
    assert (error.status, f'in the namespace "{forbidden.name}"' in str(error)) == (403, True)
    assert informer.wait_until(lambda: len(informer.store) == 1, 10)
    allowed.create_pods("c")
    assert informer.wait_until(lambda: len(informer.store) == 2, 10)
    assert not informer.has_synced()
    assert f'in the namespace "{forbidden.name}"' in str(informer.sync_error())
    forbidden.grant("nobody", "list", "watch")
    assert informer.wait_for_sync(20)
    assert sorted(obj.name for obj in informer.store.list()) == ["a", "b", "c"]


def test_untrusted_certificate_is_reported(namespace, informers):
    """`sync_error` reports that the verification of the certificate failed."""
    api_client = namespace.cluster.plane.api_client()
    api_client.configuration.ssl_ca_cert = None
    list_watch = ListWatch.for_resource(api_client, "pods", namespace=namespace.name)
    informer, failures = watching_failures(informers, list_watch, watch_list=False)
    assert "certificate verify failed" in str(failures.get(10)).lower()
    assert not informer.has_synced()
