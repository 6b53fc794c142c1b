"""Finds the path of a resource from its name.

A name is "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment". The common built-in resources are in a table here. For
any other name the server is asked, and asked again for a name that its last answer did not contain.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from informer.transport.transport import Transport
from watch.concurrency import Lock
from watch.errors import ApiError

__all__ = ["Resource", "built_in_resources", "forget", "known", "parse_name", "resolve"]


class Resource(NamedTuple):
    """A resource as API discovery describes it.

    Attributes:
        group: the API group, "" for the core group.
        version: such as "v1".
        plural: the name in paths, such as "deployments".
        kind: such as "Deployment".
        namespaced: whether its objects are in namespaces.
        names: the singular and short names.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects, such as "v1" or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """The name for messages, such as "pods" or "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None) -> str:
        """Returns the path of its list in a namespace; None: in the whole cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


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
        ValueError: the name has none of the four forms.
    """
    parts = name.split("/") if isinstance(name, str) else []
    if not parts or len(parts) > 3 or any(not part or part != part.strip() for part in parts):
        raise ValueError(
            f'{name!r} is not the name of a resource (such as "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment")'
        )
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    plural, dot, group = name.partition(".")
    return (group if dot else None), None, plural


def known(name: str) -> Resource | None:
    """Returns the built-in resource of a name, or None. Sends no request."""
    return _pick(_KNOWN, *parse_name(name))


def resolve(name: str, transport: Transport) -> Resource:
    """Returns the resource of a name.

    Args:
        name: such as "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment".
        transport: sends the requests to the server, if the resource is not a built-in one.

    Raises:
        ApiError: 404 if the server does not serve the resource (yet); the message suggests the nearest name. Otherwise the
            server refused to answer.
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
    served = list(_discover(transport, group, version))
    found = _pick(served, group, version, rest)
    if found is not None:
        with _found_lock:
            _found.setdefault(transport, {})[question] = [found] if group is None else served
        return found
    names = {n for r in (*served, *_KNOWN) for n in (r.name, r.plural, r.kind)}
    near = difflib.get_close_matches(rest if group is None else f"{rest}.{group}", names, 1, 0.6)
    near = near or difflib.get_close_matches(rest, names, 1, 0.6)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ApiError(404, "NotFound", f"the server doesn't have a resource type {name!r}{hint}")


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


def _discover(transport: Transport, group: str | None, version: str | None) -> Iterable[Resource]:
    if version is not None:
        # With a version, one request is enough.
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            yield from _resources_of(transport.get_json(root), group or "", version)
        except ApiError as error:
            if error.status != 404:
                raise
        return
    if group is None:
        yield from _resources_of(transport.get_json("/api/v1"), "", "v1")
    for entry in _entries(transport.get_json("/apis"), "groups"):
        name = entry.get("name", "")
        if group is not None and name != group and not group.endswith("." + name):
            continue
        versions = [v.get("version", "") for v in _entries(entry, "versions")]
        preferred = (entry.get("preferredVersion") or {}).get("version")
        for each in sorted(versions, key=lambda v: v != preferred):
            try:
                yield from _resources_of(transport.get_json(f"/apis/{name}/{each}"), name, each)
            except ApiError as error:
                # One aggregated API that is down must not hide the others.
                if error.status != 404 and error.status < 500:
                    raise


def _entries(answer: Any, key: str) -> list[dict[str, Any]]:
    """The objects in a list of the answer; none if the answer has another shape."""
    found = answer.get(key) if isinstance(answer, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _resources_of(answer: Any, group: str, version: str) -> Iterable[Resource]:
    for entry in _entries(answer, "resources"):
        plural = entry.get("name", "")
        if "/" in plural or "list" not in (entry.get("verbs") or ()):
            continue
        names = (entry.get("singularName", ""), *(entry.get("shortNames") or ()))
        yield Resource(group, version, plural, entry.get("kind", ""), bool(entry.get("namespaced")), names)


def built_in_resources() -> tuple[Resource, ...]:
    """Returns the resources that are known without asking a server."""
    return tuple(_KNOWN)
