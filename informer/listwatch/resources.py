"""Finds the path of a resource from its name.

A name is "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment". The common built-in resources are in a table here. For
any other name the server is asked, and asked again for a name that its last answer did not contain.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from informer.api_paths import dns_label, dns_subdomain, resource_path
from informer.transport.transport import Transport
from watch.concurrency import Lock
from watch.errors import ApiError
from watch.printable import printable

__all__ = ["Resource", "UnknownResourceError", "built_in_resources", "forget", "known", "parse_name", "resolve"]


class UnknownResourceError(ApiError):
    """Discovery has not found the resource. Unlike a server's own 404, the message says what to check."""


class Resource(NamedTuple):
    """A resource as API discovery describes it.

    Attributes:
        group: the API group, "" for the core group.
        version: such as "v1".
        plural: the name in paths, such as "deployments".
        kind: such as "Deployment".
        namespaced: whether its objects are in namespaces.
        names: the singular and short names.
        verbs: what the server allows, such as "list" and "watch".
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    names: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("list", "watch")

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects, such as "v1" or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """The name for messages, such as "pods" or "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None) -> str:
        """Returns the path of its list in a namespace; None: in the whole cluster. Raises a ValueError for a malformed name."""
        return resource_path(self.group, self.version, self.plural, namespace)


# The kinds of every supported server, as Kind[*][:plural][/short ...]. "*": not in namespaces. The default plural is the kind
# in lower case with an "s".
_BUILT_IN = """
v1: ConfigMap/cm Endpoints:endpoints/ep Event/ev LimitRange/limits Namespace*/ns Node*/no PersistentVolume*/pv
v1: PersistentVolumeClaim/pvc Pod/po PodTemplate ReplicationController/rc ResourceQuota/quota Secret ServiceAccount/sa
v1: Service/svc
apps/v1: ControllerRevision DaemonSet/ds Deployment/deploy ReplicaSet/rs StatefulSet/sts
autoscaling/v2: HorizontalPodAutoscaler/hpa
batch/v1: CronJob/cj Job
coordination.k8s.io/v1: Lease
discovery.k8s.io/v1: EndpointSlice
events.k8s.io/v1: Event/ev
networking.k8s.io/v1: Ingress:ingresses/ing IngressClass*:ingressclasses NetworkPolicy:networkpolicies/netpol
policy/v1: PodDisruptionBudget/pdb
rbac.authorization.k8s.io/v1: ClusterRole* ClusterRoleBinding* Role RoleBinding
scheduling.k8s.io/v1: PriorityClass*:priorityclasses/pc
storage.k8s.io/v1: CSIDriver* CSINode* StorageClass*:storageclasses/sc VolumeAttachment*
apiextensions.k8s.io/v1: CustomResourceDefinition*/crd/crds
"""


def read_table(table: str) -> list[Resource]:
    """Parses a table of resources such as `_BUILT_IN`."""
    resources = []
    for line in table.strip().splitlines():
        api_version, _, described = line.partition(": ")
        group, _, version = api_version.rpartition("/")
        for word in described.split():
            named, *short = word.split("/")
            kind, _, plural = named.partition(":")
            bare = kind.rstrip("*")
            resources.append(
                Resource(
                    group,
                    version,
                    plural or bare.lower() + "s",
                    bare,
                    not kind.endswith("*"),
                    (bare.lower(), *short),
                )
            )
    return resources


_KNOWN = read_table(_BUILT_IN)
# What a server can make a search cost. Large clusters have about a hundred versions of groups, and a name has at most 253
# characters. A comparison of two names takes up to 0.1 ms.
_MAX_GROUP_VERSIONS = 1000
_MAX_COMPARED = 1000
_MAX_NAME = 253
_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d+)?")

_Question = tuple[str | None, str | None, str]  # group, version, and the rest of a name without a group

# What each server has answered. For a group: all of its resources, so that a hundred informers of one group ask once. For a
# name without a group: the one resource found. Guarded by _found_lock.
_found: WeakKeyDictionary[Transport, dict[_Question, list[Resource]]] = WeakKeyDictionary()
# Not held while a server is asked: two threads that miss the same name both ask, and neither waits for the other.
_found_lock = Lock()


def parse_name(name: Any) -> tuple[str | None, str | None, str]:
    """Splits the name of a resource.

    Returns:
        The group (None for any), the version (None for any), and the plural, kind or short name.

    Raises:
        ValueError: the name has none of the four forms, or its group or version is malformed.
    """
    parts = name.split("/") if isinstance(name, str) else []
    if not parts or len(parts) > 3 or any(not part or part != part.strip() for part in parts):
        raise ValueError(
            f'{name!r} is not the name of a resource (such as "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment")'
        )
    if len(parts) == 3:
        return dns_subdomain("an API group", parts[0]), dns_label("an API version", parts[1]), parts[2]
    if len(parts) == 2:
        return "", dns_label("an API version", parts[0]), parts[1]
    plural, dot, group = name.partition(".")
    return (dns_subdomain("an API group", group) if dot else None), None, plural


def known(name: str) -> Resource | None:
    """Returns the built-in resource of a name, or None. Sends no request."""
    return _pick(_KNOWN, *parse_name(name))


def resolve(name: str, transport: Transport) -> Resource:
    """Returns the resource of a name.

    Args:
        name: such as "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment".
        transport: sends the requests to the server, if the resource is not a built-in one.

    Raises:
        ApiError: 404 if the server does not serve the resource (yet); the message suggests the nearest name of its group. 405
            if the resource cannot be listed. 503 or the like if its group is down. Otherwise the server refused to answer.
        ConnectionError: the server could not be reached.
        ValueError: the name has none of the four forms.

    Threads: any; blocks for up to a few requests.
    """
    group, version, rest = parse_name(name)
    found = _pick(_KNOWN, group, version, rest)
    if found is not None:
        return found
    question = _question(group, version, rest)
    with _found_lock:
        served = _found.get(transport, {}).get(question, [])
    found = _pick(served, group, version, rest)
    if found is not None:
        return found
    discovered = _discover(transport, group, version)
    found = _pick(discovered.resources, group, version, rest)
    if found is None:
        raise _not_found(name, discovered)
    with _found_lock:
        _found.setdefault(transport, {})[question] = [found] if group is None else discovered.resources
    return found


def _not_found(name: str, discovered: _Discovered) -> ApiError:
    """The error for a name that no resource has which can be listed."""
    group, version, rest = parse_name(name)
    other = _pick(discovered.not_listable, group, version, rest)
    if other is not None:
        verbs = printable(", ".join(other.verbs).encode(errors="replace")) or "nothing"
        return ApiError(
            405,
            "MethodNotAllowed",
            f"{other.name!r} cannot be listed, so it cannot be cached: the server allows only {verbs}",
        )
    if discovered.down and group is not None:
        return discovered.down[0][1]
    text = f"the server doesn't have a resource type {name!r}"
    near = _nearest(group, rest, discovered.resources)
    is_custom = group is None or "." in group
    hints = [f"did you mean {near!r}?"] if near else []
    hints += ["is the CRD installed?"] if is_custom else []
    text += f" ({' '.join(hints)})" if hints else ""
    if discovered.down:
        groups = printable(", ".join(each for each, _ in discovered.down).encode(errors="replace"), 300)
        text += f"; the groups that are down were not searched: {groups}"
    return UnknownResourceError(404, "NotFound", text)


def _nearest(group: str | None, rest: str, served: Sequence[Resource]) -> str:
    """The name most like `rest` of a resource of the group (None: of any); "" if none is like it."""
    if group is not None and _VERSION.fullmatch(group):
        group = ""  # "podz.v1"
    of_group = [r for r in (*served, *_KNOWN) if group is None or r.group == group or group.endswith(f".{r.group}")]
    # Whatever the spelling, the name is suggested in the form that was asked for.
    names = {
        spelling: r.plural if group is None else r.name
        for r in reversed(of_group)
        for spelling in (r.plural, r.kind, r.kind.lower())
        if abs(len(spelling) - len(rest)) <= len(rest) and len(r.name) <= _MAX_NAME
    }
    near = difflib.get_close_matches(rest, itertools.islice(names, _MAX_COMPARED), 1, 0.6)
    return names[near[0]] if near else ""


def forget(name: str, transport: Transport) -> None:
    """Forgets what the server answered for a name, after a 404; the next `resolve` asks again."""
    with _found_lock:
        _found.get(transport, {}).pop(_question(*parse_name(name)), None)


def _question(group: str | None, version: str | None, rest: str) -> _Question:
    return (None, version, rest) if group is None else (group, version, "")


def _pick(resources: Iterable[Resource], group: str | None, version: str | None, rest: str) -> Resource | None:
    wanted = rest.lower()
    for resource in resources:
        groups: tuple[str | None, ...] = (None, resource.group)
        if version is None:
            # kubectl also writes the version as in "deployments.v1.apps".
            groups += (f"{resource.version}.{resource.group}",)
        if group not in groups or version not in (None, resource.version):
            continue
        if wanted == resource.plural or wanted == resource.kind.lower() or wanted in resource.names:
            return resource
    return None


class _Discovered(NamedTuple):
    """What a server has answered about its resources.

    Attributes:
        resources: those that can be listed.
        not_listable: the others.
        down: the groups whose server did not answer, each with its error: an aggregated API that is down.
    """

    resources: list[Resource]
    not_listable: list[Resource]
    down: list[tuple[str, ApiError]]

    def add(self, answer: Any, group: str, version: str) -> None:
        """Adds the resources in the server's answer about a version of a group."""
        for resource in _resources_of(answer, group, version):
            (self.resources if "list" in resource.verbs else self.not_listable).append(resource)

    def ask(self, transport: Transport, group: str, version: str) -> None:
        """Asks the server for the resources of a version of a group. A failure of that group alone is noted only."""
        try:
            path = resource_path(group, version)
        # A malformed name in the server's list of groups; a user's was refused before.
        except ValueError:
            return
        try:
            self.add(transport.get_json(path), group, version)
        except ApiError as error:
            # One aggregated API that is down must not hide the others.
            if error.status >= 500 and group:
                self.down.append((f"{group}/{version}", _group_down(error, group, version)))
            elif error.status != 404:
                raise


def _group_down(error: ApiError, group: str, version: str) -> ApiError:
    message = (
        f"the API group {group}/{version} is down: {error.message or 'the server gave no reason'} "
        "(see: kubectl get apiservices)"
    )
    return ApiError(error.status, error.reason, message, error.retry_after, details=error.details)


def _discover(transport: Transport, group: str | None, version: str | None) -> _Discovered:
    discovered = _Discovered([], [], [])
    if version is not None:
        # With a version, one request is enough.
        discovered.ask(transport, group or "", version)
        return discovered
    if group is None:
        discovered.add(transport.get_json("/api/v1"), "", "v1")
    asked = 0
    for entry in _entries(transport.get_json("/apis"), "groups"):
        name = entry.get("name")
        if not isinstance(name, str) or (group is not None and name != group and not group.endswith("." + name)):
            continue
        versions = _texts([v.get("version") for v in _entries(entry, "versions")])
        preferred = entry.get("preferredVersion")
        preferred = preferred.get("version") if isinstance(preferred, dict) else None
        for each in sorted(versions, key=lambda v: v != preferred):
            asked += 1
            if asked > _MAX_GROUP_VERSIONS:
                raise ApiError(
                    500,
                    "InternalError",
                    f"the server has more than {_MAX_GROUP_VERSIONS} versions of API groups, in which the resource was not "
                    'found: name it with its group and version, as in "apps/v1/Deployment"',
                )
            discovered.ask(transport, name, each)
    return discovered


def _entries(answer: Any, key: str) -> list[dict[str, Any]]:
    """The objects in a list of the answer; none if the answer has another shape."""
    found = answer.get(key) if isinstance(answer, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _resources_of(answer: Any, group: str, version: str) -> Iterable[Resource]:
    for entry in _entries(answer, "resources"):
        try:
            # "pods/status" is not one either.
            plural = dns_label("name", entry.get("name"))
        except ValueError:
            continue
        verbs = tuple(_texts(entry.get("verbs")))
        if not verbs:
            continue
        kind = "".join(_texts([entry.get("kind")]))
        names = (*_texts([entry.get("singularName")]), *_texts(entry.get("shortNames")))
        yield Resource(group, version, plural, kind, bool(entry.get("namespaced")), names, verbs)


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def built_in_resources() -> tuple[Resource, ...]:
    """Returns the resources that are known without asking a server."""
    return tuple(_KNOWN)
