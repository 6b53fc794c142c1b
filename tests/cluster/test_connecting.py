"""What a real kube-apiserver answers to a wrong address, to wrong credentials, and about resources that it cannot list."""

from __future__ import annotations

import contextlib
import logging

import pytest

from informer import ApiError, ListWatch
from informer.transport.transport import Transport
from tests.support.waiting import eventually
from watch import ListOptions

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


def test_a_wrong_path_in_the_address_is_named(namespace):
    """The server answers 404 in plain text; the message has the address that was asked."""
    api_client = namespace.cluster.plane.api_client()
    api_client.configuration.host += "/k8s/clusters/c-1"
    with pytest.raises(ApiError, match="is the path in the server's address right") as caught:
        ListWatch.for_resource(api_client, "pods").list(ListOptions())
    assert caught.value.status == 404
    assert f"{namespace.cluster.plane.url}/k8s/clusters/c-1/api/v1/pods" in str(caught.value)


def test_a_missing_https_is_named(namespace):
    """The server answers a plain request with 400, in plain text."""
    api_client = namespace.cluster.plane.api_client()
    bare = namespace.cluster.plane.url.partition("://")[2]
    api_client.configuration.host = bare
    # With an authority configured, the address means https://.
    assert "gitVersion" in Transport(api_client).get_json("/version")
    api_client.configuration.host = f"http://{bare}"
    with pytest.raises(ApiError, match="write https://") as caught:
        Transport(api_client).get_json("/version")
    assert caught.value.status == 400
    assert f"http://{bare}/version" in str(caught.value)


def test_refused_credentials_are_named(namespace):
    """Their kind and source, and not the token."""
    api_client = namespace.cluster.plane.api_client(token="wr0ng")
    with pytest.raises(ApiError, match="the token in the configuration's api_key") as caught:
        ListWatch.for_resource(api_client, "pods").list(ListOptions())
    assert caught.value.status == 401
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("name", ["bindings", "v1/Binding", "tokenreviews.authentication.k8s.io"])
def test_a_resource_that_cannot_be_listed_is_said_to_exist(namespace, name):
    """The server's discovery has it with the verb create only."""
    with pytest.raises(ApiError, match="cannot be listed, so it cannot be cached: the server allows only create"):
        ListWatch.for_resource(namespace.cluster.api_client, name).list(ListOptions())


def test_a_resource_that_can_only_be_listed_is_cached(namespace, informers, caplog):
    """The informer syncs without an error, and says that it lists every 30 to 60 seconds."""
    with caplog.at_level(logging.WARNING):
        informer = informers.start(ListWatch.for_resource(namespace.cluster.api_client, "componentstatuses"))
        assert eventually(lambda: "componentstatuses can be listed only, not watched" in caplog.text)
    assert informer.store.list_keys()
    assert informer.sync_error() is None


def test_a_group_that_is_down_is_said_to_be(namespace):
    """An APIService without a server behind it."""
    cluster = namespace.cluster
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    service = {"name": "nowhere", "namespace": namespace.name}
    spec = {
        "group": "metrics.example.com",
        "version": "v1beta1",
        "service": service,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
    }
    name = "v1beta1.metrics.example.com"
    cluster.create(
        path,
        {"kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1", "metadata": {"name": name}, "spec": spec},
    )
    source = ListWatch.for_resource(cluster.api_client, "pods.metrics.example.com")
    errors: list[ApiError] = []

    def is_down() -> bool:
        with contextlib.suppress(ConnectionError):
            try:
                source.list(ListOptions())
            except ApiError as error:
                errors.append(error)
        return bool(errors) and errors[-1].status == 503

    try:
        assert eventually(is_down)
        assert "the API group metrics.example.com/v1beta1 is down: " in str(errors[-1])
    finally:
        cluster.request("DELETE", f"{path}/{name}")


def test_a_missing_crd_is_asked_for(namespace):
    """The server does not have the group."""
    with pytest.raises(ApiError, match="is the CRD installed"):
        ListWatch.for_resource(namespace.cluster.api_client, "widgets.example.com").list(ListOptions())
