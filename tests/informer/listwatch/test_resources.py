"""Finding the path of a resource: which resources are known, and what the server is asked."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest

from informer import ApiError
from informer.listwatch.resources import Resource, built_in_resources, forget, known, parse_name, resolve
from informer.listwatch.targets import PathTarget


class Served:
    """A transport that answers as a server with some resources does."""

    def __init__(self, *resources: Resource, preferred: dict[str, str] | None = None) -> None:
        self.resources = list(resources)
        self.preferred = preferred or {}
        self.down: dict[str, Exception] = {}
        self.asked: list[str] = []

    def get_json(self, path: str, *, accept: str = "application/json") -> Any:
        self.asked.append(path)
        if path in self.down:
            raise self.down[path]
        if path == "/apis":
            groups = dict.fromkeys(r.group for r in self.resources if r.group)
            return {"groups": [self._group(group) for group in groups]}
        _, root, *rest = path.split("/")
        group, version = ("", rest[0]) if root == "api" else (rest[0], rest[1])
        found = [r for r in self.resources if (r.group, r.version) == (group, version)]
        if not found and path != "/api/v1":
            raise ApiError(404, "NotFound", "not found")
        return {"kind": "APIResourceList", "resources": [entry for r in found for entry in self._entries(r)]}

    def _group(self, group: str) -> dict[str, Any]:
        versions = list(dict.fromkeys(r.version for r in self.resources if r.group == group))
        preferred = self.preferred.get(group, versions[0])
        return {
            "name": group,
            "versions": [{"version": version} for version in versions],
            "preferredVersion": {"version": preferred},
        }

    @staticmethod
    def _entries(resource: Resource) -> list[dict[str, Any]]:
        entry = {
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "kind": resource.kind,
            "namespaced": resource.namespaced,
            "verbs": ["get", "list", "watch"],
            "shortNames": list(resource.names),
        }
        return [entry, {**entry, "name": f"{resource.plural}/status", "verbs": ["get"], "kind": "Odd"}]


WIDGET = Resource("example.com", "v1", "widgets", "Widget", True, ("wd",))
OLD_WIDGET = Resource("example.com", "v1alpha1", "widgets", "Widget", True, ("wd",))
OTHER_WIDGET = Resource("other.io", "v1", "widgets", "Widget", True)
GLOBAL = Resource("example.com", "v1", "globals", "Global", False)


def found(name: str, transport: Any) -> tuple[str, str, str]:
    resource = resolve(name, transport)
    return resource.group, resource.version, resource.plural


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pods", (None, None, "pods")),
        ("deployments.apps", ("apps", None, "deployments")),
        ("widgets.stable.example.com", ("stable.example.com", None, "widgets")),
        ("v1/pods", ("", "v1", "pods")),
        ("apps/v1/Deployment", ("apps", "v1", "Deployment")),
    ],
)
def test_names_have_four_forms(name: str, expected: Any) -> None:
    """Plural, plural and group, version and plural, or group, version and kind."""
    assert parse_name(name) == expected


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "a//b", "a/b/c/d", " pods", "pods ", "v1 /pods", None, 5, ["pods"]]
)
def test_malformed_names_are_refused(name: Any) -> None:
    """The message shows the valid forms."""
    with pytest.raises(ValueError, match=r'"deployments\.apps"'):
        parse_name(name)


# Known ones


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("pods", "/api/v1/pods"),
        ("pod", "/api/v1/pods"),
        ("po", "/api/v1/pods"),
        ("Pod", "/api/v1/pods"),
        ("PODS", "/api/v1/pods"),
        ("v1/pods", "/api/v1/pods"),
        ("v1/Pod", "/api/v1/pods"),
        ("deployments", "/apis/apps/v1/deployments"),
        ("deployments.apps", "/apis/apps/v1/deployments"),
        ("deployments.v1.apps", "/apis/apps/v1/deployments"),
        ("deploy", "/apis/apps/v1/deployments"),
        ("apps/v1/Deployment", "/apis/apps/v1/deployments"),
        ("apps/v1/deployments", "/apis/apps/v1/deployments"),
        ("endpoints", "/api/v1/endpoints"),
        ("ingresses", "/apis/networking.k8s.io/v1/ingresses"),
        ("NetworkPolicy", "/apis/networking.k8s.io/v1/networkpolicies"),
        ("storageclasses.storage.k8s.io", "/apis/storage.k8s.io/v1/storageclasses"),
        ("crd", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
        ("events", "/api/v1/events"),
        ("events.events.k8s.io", "/apis/events.k8s.io/v1/events"),
        ("leases", "/apis/coordination.k8s.io/v1/leases"),
    ],
)
def test_built_in_resources_are_known_without_a_server(name: str, path: str) -> None:
    """By plural, singular, short name and kind; among several groups the core one comes first, as in kubectl."""
    transport: Any = Served()
    assert resolve(name, transport).path(None) == path
    assert transport.asked == []


def test_paths_in_a_namespace() -> None:
    """The core group and the other groups have different roots."""
    pods, deployments = known("pods"), known("deployments.apps")
    assert pods is not None
    assert deployments is not None
    assert pods.path("ns") == "/api/v1/namespaces/ns/pods"
    assert deployments.path("ns") == "/apis/apps/v1/namespaces/ns/deployments"
    assert (pods.name, pods.api_version) == ("pods", "v1")
    assert (deployments.name, deployments.api_version) == ("deployments.apps", "apps/v1")


@pytest.mark.parametrize("name", ["nodes", "namespaces", "persistentvolumes", "clusterroles", "storageclasses", "pc"])
def test_cluster_scoped_resources_are_known_as_such(name: str) -> None:
    """They are not in namespaces."""
    resource = known(name)
    assert resource is not None
    assert not resource.namespaced


def test_every_built_in_resource_is_where_the_official_client_has_it() -> None:
    """Group, version, plural and scope match the paths of the official client's list methods."""
    from kubernetes import client

    api_client = client.ApiClient(client.Configuration(host="http://x"))
    paths = set()
    groups = "AppsV1 AutoscalingV2 BatchV1 CoordinationV1 CoreV1 DiscoveryV1 EventsV1 NetworkingV1 PolicyV1 StorageV1"
    for group in [*groups.split(), "ApiextensionsV1", "RbacAuthorizationV1", "SchedulingV1"]:
        owner = getattr(client, f"{group}Api")
        for name in dir(owner):
            if re.fullmatch(r"list_\w+(?<!_with_http_info)(?<!_without_preload_content)", name):
                arguments = {"namespace": "ns"} if "_namespaced_" in name and "custom" not in name else {}
                with contextlib.suppress(TypeError):
                    paths.add(PathTarget.of_method(getattr(owner(api_client), name), arguments).path(None))
    for resource in built_in_resources():
        assert resource.path(None) in paths
        assert (resource.path("ns") in paths) is resource.namespaced


# Asking a server


@pytest.mark.parametrize(
    "name",
    [
        "widgets.example.com",
        "widget.example.com",
        "wd.example.com",
        "Widget.example.com",
        "widgets.v1.example.com",
        "example.com/v1/Widget",
        "example.com/v1/widgets",
        "widgets",
        "wd",
    ],
)
def test_custom_resources_are_found_in_all_forms(name: str) -> None:
    """The server's discovery lists them; sub-resources are skipped."""
    assert found(name, Served(WIDGET, GLOBAL)) == ("example.com", "v1", "widgets")


def test_a_full_name_takes_one_request_the_first_time_only() -> None:
    """The answer is remembered."""
    transport: Any = Served(WIDGET)
    for _ in range(2):
        resolve("example.com/v1/Widget", transport)
    assert transport.asked == ["/apis/example.com/v1"]


def test_a_group_takes_two_requests() -> None:
    """One for the list of groups and one for the named group; other groups are not requested."""
    transport: Any = Served(WIDGET, OTHER_WIDGET)
    resolve("widgets.other.io", transport)
    assert transport.asked == ["/apis", "/apis/other.io/v1"]


def test_a_group_is_asked_for_once() -> None:
    """A hundred informers of one group's resources need as many requests as one."""
    gadget = Resource("example.com", "v1", "gadgets", "Gadget", True)
    transport: Any = Served(WIDGET, gadget)
    assert found("widgets.example.com", transport)[2] == "widgets"
    asked = list(transport.asked)
    assert found("gadgets.example.com", transport)[2] == "gadgets"
    assert transport.asked == asked
    transport.resources.append(GLOBAL)
    assert found("globals.example.com", transport)[2] == "globals"


@pytest.mark.parametrize("preferred", ["v1", "v1alpha1"])
def test_the_servers_preferred_version_comes_first(preferred: str) -> None:
    """The order of the server's list and earlier requests make no difference."""
    transport: Any = Served(OLD_WIDGET, WIDGET, preferred={"example.com": preferred})
    other = "v1alpha1" if preferred == "v1" else "v1"
    assert found(f"example.com/{other}/Widget", transport)[1] == other
    assert found("widgets.example.com", transport)[1] == preferred
    assert found("widgets", transport)[1] == preferred


def test_an_ambiguous_name_is_that_of_the_first_group() -> None:
    """The first group in the server's order; a name with a group selects another one."""
    transport: Any = Served(WIDGET, OTHER_WIDGET)
    assert found("widgets", transport)[0] == "example.com"
    assert found("widgets.other.io", transport)[0] == "other.io"


def test_a_custom_resource_named_as_a_built_in_one_needs_its_group() -> None:
    """Knative has services too."""
    knative = Resource("serving.knative.dev", "v1", "services", "Service", True)
    assert found("services.serving.knative.dev", Served(knative)) == ("serving.knative.dev", "v1", "services")
    assert found("services", Served(knative)) == ("", "v1", "services")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 404])
def test_an_aggregated_api_that_is_down_hides_no_other(status: int) -> None:
    """Its failure does not matter if another group has the name."""
    metrics = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", True)
    transport: Any = Served(metrics, WIDGET)
    transport.down["/apis/metrics.k8s.io/v1beta1"] = ApiError(status, "", "down")
    assert found("widgets", transport) == ("example.com", "v1", "widgets")


@pytest.mark.parametrize("error", [ApiError(401), ApiError(403), ApiError(429), ConnectionRefusedError()], ids=repr)
def test_a_refused_discovery_is_raised(error: Exception) -> None:
    """The resource is not guessed."""
    transport: Any = Served(WIDGET)
    transport.down["/apis"] = error
    with pytest.raises(type(error)):
        resolve("widgets.example.com", transport)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("widgts.example.com", "widgets.example.com", id="plural"),
        pytest.param("example.com/v1/Widgett", "widgets.example.com", id="kind"),
        pytest.param("deploymnts", "deployments", id="built-in"),
        pytest.param("podz.v1", "pods", id="made-up"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, hint: str) -> None:
    """The error is a 404 that suggests the nearest name."""
    with pytest.raises(ApiError, match="the server doesn't have a resource type") as caught:
        resolve(name, Served(WIDGET))
    assert caught.value.status == 404
    assert repr(hint) in str(caught.value)


def test_a_name_unlike_any_other_gets_no_suggestion() -> None:
    """A bad suggestion would be worse than none."""
    with pytest.raises(ApiError) as caught:
        resolve("qqqqqqqq.zz", Served(WIDGET))
    assert "nearest" not in str(caught.value)


def test_a_resource_that_comes_later_is_found_then() -> None:
    """While a CRD is missing, each lookup asks the server again."""
    transport: Any = Served()
    for _ in range(2):
        with pytest.raises(ApiError):
            resolve("widgets.example.com", transport)
    transport.resources.append(WIDGET)
    assert found("widgets.example.com", transport) == ("example.com", "v1", "widgets")


def test_a_resource_that_was_made_anew_in_another_version_is_found_after_a_404() -> None:
    """After a 404 the remembered answer is dropped."""
    transport: Any = Served(OLD_WIDGET)
    assert found("widgets.example.com", transport)[1] == "v1alpha1"
    transport.resources[:] = [WIDGET]
    assert found("widgets.example.com", transport)[1] == "v1alpha1"
    forget("widgets.example.com", transport)
    assert found("widgets.example.com", transport)[1] == "v1"


def test_servers_are_remembered_separately() -> None:
    """The answers of one server do not affect another."""
    one: Any = Served(WIDGET)
    other: Any = Served()
    resolve("widgets.example.com", one)
    with pytest.raises(ApiError):
        resolve("widgets.example.com", other)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"resources": None},
        {"resources": []},
        [],
        None,
        "x",
        {"resources": [{"name": "widgets"}, 5], "groups": [5, {}]},
    ],
    ids=repr,
)
def test_malformed_discovery_answers_contain_no_resources(answer: Any) -> None:
    """The lookup ends with a 404, whatever the server answers."""

    class Odd:
        def get_json(self, path: str, *, accept: str = "") -> Any:
            return answer

    transport: Any = Odd()
    for name in ("example.com/v1/Widget", "widgets.example.com"):
        with pytest.raises(ApiError) as caught:
            resolve(name, transport)
        assert caught.value.status == 404


# Resources that cannot be listed, or not be watched, and groups that are down


METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", True)
DOWN = ApiError(503, "ServiceUnavailable", "service unavailable", 5.0)


@pytest.mark.parametrize(
    "name", ["pods.metrics.k8s.io", "PodMetrics.metrics.k8s.io", "metrics.k8s.io/v1beta1/PodMetrics"]
)
def test_a_group_that_is_down_is_said_to_be(name: str) -> None:
    """The error is that of the group, not a 404 with a suggestion from another group."""
    transport: Any = Served(METRICS, WIDGET)
    transport.down["/apis/metrics.k8s.io/v1beta1"] = DOWN
    with pytest.raises(ApiError) as caught:
        resolve(name, transport)
    error = caught.value
    assert (error.status, error.reason, error.retry_after) == (503, "ServiceUnavailable", 5.0)
    assert "the API group metrics.k8s.io/v1beta1 is down: service unavailable" in str(error)
    assert "did you mean" not in str(error)
    del transport.down["/apis/metrics.k8s.io/v1beta1"]
    assert found(name, transport) == ("metrics.k8s.io", "v1beta1", "pods")


def test_a_name_without_a_group_may_be_in_a_group_that_is_down() -> None:
    """The message names the groups that could not be searched."""
    transport: Any = Served(METRICS, WIDGET)
    transport.down["/apis/metrics.k8s.io/v1beta1"] = DOWN
    with pytest.raises(ApiError, match="the groups that are down were not searched: metrics") as caught:
        resolve("gizmos", transport)
    assert caught.value.status == 404


class Bindings(Served):
    """A server that also has a resource that can only be created."""

    @staticmethod
    def _entries(resource: Resource) -> list[dict[str, Any]]:
        entries = Served._entries(resource)
        for entry in entries:
            entry["verbs"] = list(resource.verbs)
        return entries


@pytest.mark.parametrize("name", ["bindings", "v1/bindings", "v1/Binding", "reviews.authorization.k8s.io"])
def test_a_resource_that_cannot_be_listed_is_said_to_exist(name: str) -> None:
    """With the verbs that the server allows."""
    transport: Any = Bindings(
        Resource("", "v1", "bindings", "Binding", True, verbs=("create",)),
        Resource("authorization.k8s.io", "v1", "reviews", "Review", True, verbs=("create",)),
    )
    with pytest.raises(
        ApiError, match="cannot be listed, so it cannot be cached: the server allows only create"
    ) as caught:
        resolve(name, transport)
    assert caught.value.status == 405


def test_a_listable_resource_of_the_same_name_is_preferred() -> None:
    """Another group may offer what the first one does not."""
    transport: Any = Bindings(Resource("a.io", "v1", "widgets", "Widget", True, verbs=("create",)), WIDGET)
    assert found("widgets", transport) == ("example.com", "v1", "widgets")


@pytest.mark.parametrize(
    "name", ["widgets.other.io", "gadgets.example.com", "events.example.com", "pods.metrics.k8s.io"]
)
def test_only_names_of_the_same_group_are_suggested(name: str) -> None:
    """A resource of another group is something else. The CRD or aggregated API may be missing."""
    transport: Any = Served(Resource("example.com", "v1", "quotas", "Quota", True), WIDGET_OF_ANOTHER)
    with pytest.raises(ApiError, match=re.escape("(is the CRD installed?)")) as caught:
        resolve(name, transport)
    assert "did you mean" not in str(caught.value)


WIDGET_OF_ANOTHER = Resource("third.io", "v1", "widgets", "Widget", True)


def test_a_suggestion_has_the_names_group() -> None:
    """So that it can be copied."""
    with pytest.raises(ApiError, match=re.escape("(did you mean 'widgets.example.com'? is the CRD installed?)")):
        resolve("wigets.example.com", Served(WIDGET, WIDGET_OF_ANOTHER))
    with pytest.raises(ApiError, match=re.escape("(did you mean 'deployments.apps'?)")):
        resolve("apps/v1/Deploymint", Served(WIDGET))
