"""From the name of a resource to its path.

Comes in: "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment". Goes out: group, version, plural and kind. The
common built-in ones are known; for any other the server is asked, and asked again when a name is not among its answers.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from informer.transport.transport import Transport
from watch.concurrency import Lock, in_forked_child
from watch.errors import ApiError

__all__ = ["Resource", "built_in_resources", "forget", "known", "parse_name", "resolve"]


class Resource(NamedTuple):
    """What a server calls a resource."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As in an object: "v1" or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """As in messages: "pods" or "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None) -> str:
        """The path of its list, in a namespace or (None) all over the cluster."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


# Kinds as every supported server has them; a plural is the kind in small letters with "s" unless it says otherwise, and a
# name with "*" has no namespace.
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
    """The resources of a table such as the one above."""
    resources = []
    for line in table.strip().splitlines():
        api_version, _, words = line.partition(": ")
        group, _, version = api_version.rpartition("/")
        for word in words.split():
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

_Question = tuple[str | None, str | None, str]  # group, version, and the rest of the name where there is no group

# What a server has answered, by what it was asked: a group's resources in one list, so that a hundred informers of them do
# not ask a hundred times, and of a name without a group the one that was found. Guarded by _found_lock.
_found: WeakKeyDictionary[Transport, dict[_Question, list[Resource]]] = WeakKeyDictionary()
# Not held while a server is asked: two who miss the same name both ask, and neither waits for the other.
_found_lock = Lock()


def parse_name(name: Any) -> tuple[str | None, str | None, str]:
    """Group, version (None: any) and the rest of a resource's name.

    Raises:
        ValueError: it has none of the forms.
    """
    parts = name.split("/") if isinstance(name, str) else []
    if not parts or len(parts) > 3 or any(not part or part != part.strip() for part in parts):
        raise ValueError(
            f'{name!r} is no name of a resource: "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment" are'
        )
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    plural, dot, group = name.partition(".")
    return (group if dot else None), None, plural


def known(name: str) -> Resource | None:
    """A built-in resource, without asking any server."""
    return _pick(_KNOWN, *parse_name(name))


def resolve(name: str, transport: Transport) -> Resource:
    """The resource of a name.

    Args:
        name: see the module.
        transport: of the server to ask where the name is no built-in one's.

    Raises:
        ApiError: 404, the server does not serve it (perhaps not yet); the message names what comes nearest.
        ValueError: the name has none of the forms.
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
    hint = f" (the nearest that it has is {near[0]!r})" if near else ""
    raise ApiError(404, "NotFound", f"the server doesn't have a resource type {name!r}{hint}")


def forget(name: str, transport: Transport) -> None:
    """After a 404: the server is asked again when somebody needs this resource."""
    with _found_lock:
        _found.get(transport, {}).pop(_question(*parse_name(name)), None)


def _question(group: str | None, version: str | None, rest: str) -> _Question:
    return (None, version, rest) if group is None else (group, version, "")


def _pick(resources: Iterable[Resource], group: str | None, version: str | None, rest: str) -> Resource | None:
    wanted = rest.lower()
    for resource in resources:
        groups: tuple[str | None, ...] = (None, resource.group)
        if version is None:
            # "deployments.v1.apps" is kubectl's way to name a version.
            groups += (f"{resource.version}.{resource.group}",)
        if group not in groups or version not in (None, resource.version):
            continue
        if wanted == resource.plural or wanted == resource.kind.lower() or wanted in resource.names:
            return resource
    return None


def _discover(transport: Transport, group: str | None, version: str | None) -> Iterable[Resource]:
    if version is not None:
        # Named in full: one request tells.
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
    """The objects of a list in an answer, whatever else it may be."""
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
    """The resources that are known without asking a server."""
    return tuple(_KNOWN)


def find_built_in(version: str, kind: str) -> Resource | None:
    """The built-in resource of a version and kind, whatever its group."""
    for resource in _KNOWN:
        if resource.version == version and resource.kind == kind:
            return resource
    return None


@in_forked_child
def _forget_after_fork() -> None:
    """The lock may have been held when the child was made."""
    global _found_lock  # noqa: PLW0603
    _found_lock = Lock()
    _found.clear()
