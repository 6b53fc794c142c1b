"""The manifests of a manager's program: the least rights that its registrations need, and a Deployment. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from informer.api_paths import dns_label
from informer.listwatch.resources import known, parse_name
from informer.runtime.parts import Lease
from informer.runtime.registration import Registration
from informer.sharding.leases import LeaseNames

__all__ = ["manifests_for"]

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "patch")
_RBAC = "rbac.authorization.k8s.io"

Rights = dict[tuple[str, str], set[str]]  # verbs by (API group, plural)


def manifests_for(
    name: str,
    registrations: Sequence[Registration],
    read: Iterable[str],
    *,
    namespace: str,
    watched: tuple[str, ...] | None,
    lease: Lease | None,
    port: int | None,
    image: str | None,
) -> list[dict[str, Any]]:
    """Returns the manifests; `Manager.manifests` documents them.

    Args:
        name: the manager's.
        registrations: its controllers.
        read: further resources that it reads.
        namespace: where the program runs.
        watched: the namespaces that it reconciles; None for the whole cluster.
        lease: its Lease, or those of its shards; None without an election.
        port: where it serves probes; None for nowhere.
        image: its container image; None leaves the Deployment out.
    """
    dns_label("namespace", namespace)
    rights = _rights_of(registrations, read)
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
    ]
    if watched is None:
        made += _role("ClusterRole", name, None, [*_rules(rights), _events()], account)
    else:
        in_cluster = {where: verbs for where, verbs in rights.items() if not _is_namespaced(where)}
        in_namespace = {where: verbs for where, verbs in rights.items() if _is_namespaced(where)}
        if in_cluster:
            made += _role("ClusterRole", name, None, _rules(in_cluster), account)
        for each in watched:
            made += _role("Role", name, each, [*_rules(in_namespace), _events()], account)
    if lease is not None:
        made += _role("Role", f"{name}-lease", lease.namespace or namespace, _lease_rules(lease), account)
    if image is not None:
        made.append(_deployment(name, namespace, image, port, replicas=1 if lease is None else lease.shards or 2))
    return made


def _rights_of(registrations: Sequence[Registration], read: Iterable[str]) -> Rights:
    rights: Rights = {}

    def grant(resource: str, verbs: Iterable[str], subresource: str = "") -> None:
        group, plural = _group_and_plural(resource)
        rights.setdefault((group, f"{plural}/{subresource}" if subresource else plural), set()).update(verbs)

    for resource in read:
        grant(resource, _READ)
    for registration in registrations:
        for resource in (registration.resource, *registration.owns, *registration.watches):
            grant(resource, _READ)
        grant(registration.resource, ("patch",), "status")
        for resource in registration.owns:
            grant(resource, _WRITE)
        if registration.owns:
            # Clusters that check blockOwnerDeletion demand it for owner references.
            grant(registration.resource, ("update",), "finalizers")
        if registration.finalizer is not None:
            grant(registration.resource, ("patch",))
        for written in registration.writes:
            resource, _, subresource = written.partition("/")
            grant(resource, ("create", "patch") if subresource else _WRITE, subresource)
    return rights


def _group_and_plural(resource: str) -> tuple[str, str]:
    found = known(resource)
    if found is not None:
        return found.group, found.plural
    group, _, plural = parse_name(resource)
    if group is None or plural != plural.lower():
        raise ValueError(
            f'the plural name and group of {resource!r} are not known without a cluster: name it as "sites.example.com"'
        )
    return group, plural


def _is_namespaced(where: tuple[str, str]) -> bool:
    group, plural = where
    name = plural.partition("/")[0]
    found = known(f"{name}.{group}" if group else name)
    return found is None or found.namespaced


def _rules(rights: Rights) -> list[dict[str, Any]]:
    """Rules with one entry per group and set of verbs."""
    joined: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, plural), verbs in sorted(rights.items()):
        joined.setdefault((group, tuple(sorted(verbs))), []).append(plural)
    return [
        {"apiGroups": [group], "resources": plurals, "verbs": list(verbs)} for (group, verbs), plurals in joined.items()
    ]


def _events() -> dict[str, Any]:
    return {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}


def _lease_rules(lease: Lease) -> list[dict[str, Any]]:

    def rule(*verbs: str, **names: list[str]) -> dict[str, Any]:
        # New lists each time: YAML would show shared ones as anchors.
        return {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], **names, "verbs": list(verbs)}

    if lease.shards is not None:
        names = LeaseNames(lease.namespace or "", lease.name, lease.shards).all()
        return [
            rule("create", "list"),
            rule("get", "update", resourceNames=names),
        ]
    return [
        # A rule with a name cannot allow a create.
        rule("create"),
        rule("get", "update", resourceNames=[lease.name]),
    ]


def _role(
    kind: str, name: str, namespace: str | None, rules: list[dict[str, Any]], account: dict[str, Any]
) -> list[dict[str, Any]]:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    reference = {"apiGroup": _RBAC, "kind": kind, "name": name}
    binding = {"apiVersion": f"{_RBAC}/v1", "kind": f"{kind}Binding", "metadata": metadata}
    return [
        {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules},
        {**binding, "roleRef": reference, "subjects": [account]},
    ]


def _deployment(name: str, namespace: str, image: str, port: int | None, *, replicas: int) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "manager",
        "image": image,
        "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    if port:
        container["ports"] = [{"name": "probes", "containerPort": port}]
        container["livenessProbe"] = {"httpGet": {"path": "/healthz", "port": "probes"}, "initialDelaySeconds": 15}
        container["readinessProbe"] = {"httpGet": {"path": "/readyz", "port": "probes"}}
    labels = {"app.kubernetes.io/name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": name,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [container],
                },
            },
        },
    }
