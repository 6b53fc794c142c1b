"""Unit tests of the site controller's reconcile function: its request is a mock, so that nothing else runs."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from pytest_mock import MockerFixture
from site_controller import reconcile

from informer import ApiError, Object
from informer.runtime import Request

SITE = {"metadata": {"name": "shop", "namespace": "web", "uid": "u-1"}, "spec": {"text": "Welcome", "replicas": 2}}


def request_for(mocker: MockerFixture, site: dict[str, object] | None, available: int | None = None) -> Mock:
    """Returns a mock with the methods of a `Request`, at a server whose Deployments have some available replicas."""
    made: Mock = mocker.create_autospec(Request, instance=True)
    made.object = None if site is None else Object.from_dict(site)
    status = {} if available is None else {"availableReplicas": available}
    made.apply.side_effect = lambda obj: Object.from_dict({**obj, "status": status})
    return made


def test_a_site_gets_a_config_map_and_a_deployment(mocker: MockerFixture) -> None:
    """The ConfigMap has the text, and the Deployment the number of replicas."""
    request = request_for(mocker, SITE)
    reconcile(request)
    config_map, deployment = (call.args[0] for call in request.apply.call_args_list)
    assert (config_map["kind"], config_map["data"]) == ("ConfigMap", {"index.html": "Welcome"})
    assert (deployment["kind"], deployment["spec"]["replicas"]) == ("Deployment", 2)
    assert config_map["metadata"]["name"] == deployment["metadata"]["name"] == "site-shop"


@pytest.mark.parametrize(("available", "status"), [(None, "False"), (1, "False"), (2, "True"), (3, "True")])
def test_a_site_is_ready_when_all_replicas_are_available(
    mocker: MockerFixture, available: int | None, status: str
) -> None:
    """The condition says how many replicas there are."""
    request = request_for(mocker, SITE, available)
    reconcile(request)
    request.set_condition.assert_called_once_with("Ready", status, "Available", f"{available or 0} replicas serve it")


def test_nothing_is_written_for_a_deleted_site(mocker: MockerFixture) -> None:
    """The garbage collector deletes what it owned."""
    request = request_for(mocker, None)
    reconcile(request)
    request.apply.assert_not_called()
    request.set_condition.assert_not_called()


def test_a_refused_write_is_raised(mocker: MockerFixture) -> None:
    """The manager retries the key; no condition says that the site is ready."""
    request = request_for(mocker, SITE)
    request.apply.side_effect = ApiError(403, "Forbidden", "no")
    with pytest.raises(ApiError, match="no"):
        reconcile(request)
    request.set_condition.assert_not_called()
