"""Validates objects that are to be written: kind, metadata, identity and preconditions. No I/O.

Source: apiserver pkg/registry/rest and pkg/endpoints/handlers. The messages are those of kube-apiserver 1.37.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from informer.listwatch.resources import Resource
from informer.testing.storage.name_rules import (
    annotation_causes,
    finalizer_causes,
    finalizer_warnings,
    label_causes,
    name_causes,
    owner_causes,
)
from informer.testing.storage.schemas.built_in_fields import GO_TYPES, OBJECT_META, wrong_types
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import Cause, bad_request, conflict, invalid, unreadable, wrong_patch
from informer.testing.storage.storage import Stored
from watch.errors import ApiError

__all__ = [
    "Target",
    "check_changes",
    "check_expected",
    "check_identity",
    "check_kind",
    "check_metadata",
    "check_version",
    "metadata_of",
    "set_namespace",
]


class Target(NamedTuple):
    """The object that a request acts on; without a name, the objects of a resource."""

    served: ServedResource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> str:
        """The key under which the object is stored."""
        return f"{self.namespace}/{self.name}" if self.served.resource.namespaced else self.name


def check_kind(served: ServedResource, obj: Mapping[str, Any], *, patched: bool = False) -> None:
    """Raises ApiError 400, or 422 for a patch, if the object's kind is not that of the resource it is written to."""
    resource = served.resource
    given, wanted = (obj.get("kind"), obj.get("apiVersion")), (resource.kind, resource.api_version)
    kind, api_version = (
        str(each or ("" if served.custom else default)) for each, default in zip(given, wanted, strict=True)
    )
    if (kind, api_version) == wanted:
        return
    if not kind:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object 'Kind' is missing"
        )
    if not served.custom:
        version, group = api_version.rpartition("/")[2], resource.group.partition(".")[0] or "core"
        why = f"converting ({version}.{kind}) to ({group}.{resource.kind}): unknown conversion"
        if patched:
            raise wrong_patch(obj, why)
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {why}')
    if api_version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    raise invalid(resource.group, kind, "", [Cause.bad("kind", json.dumps(kind), f"must be {resource.kind}")])


def not_registered(api_version: str, kind: str) -> str:
    """Returns the message for a kind that the server does not have."""
    return f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/runtime/scheme.go:111"'


def metadata_of(obj: dict[str, Any], resource: Resource) -> dict[str, Any]:
    """Returns an object's metadata, added if missing; raises ApiError 400 if a field has the wrong type."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    problem = ""
    if not isinstance(metadata, dict):
        field = f"Go struct field {resource.kind}.metadata of type v1.ObjectMeta"
        problem = f"json: cannot unmarshal {GO_TYPES[type(metadata)]} into {field}"
    else:
        for name in ("labels", "annotations"):
            values = metadata.get(name)
            if isinstance(values, dict):
                metadata[name] = {key: "" if value is None else value for key, value in values.items()}
        problem = next(wrong_types(metadata, OBJECT_META, "metadata."), "")
        for name in ("finalizers", "ownerReferences", "managedFields"):
            if not problem and None in (metadata.get(name) or ()):
                problem = f"json: null in metadata.{name}"
    if problem:
        raise unreadable(resource, problem)
    return metadata


def set_namespace(target: Target, metadata: dict[str, Any]) -> None:
    """Sets the request's namespace in an object; raises ApiError 400 if the object has another one."""
    if not target.served.resource.namespaced:
        metadata.pop("namespace", None)
        return
    if metadata.get("namespace") not in (None, "", target.namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = target.namespace


def check_metadata(
    served: ServedResource,
    metadata: Mapping[str, Any],
    old: Mapping[str, Any],
    more: Iterable[Cause],
    *,
    is_request: bool,
) -> list[str]:
    """Returns warnings about the metadata; raises ApiError 422 if a part of them is not valid, or for `more` causes.

    Args:
        served: the object's resource.
        metadata: the object's metadata.
        old: those of the stored object; empty for a new one.
        more: what else is not valid.
        is_request: whether a client writes: methods may write malformed owner references.
    """
    resource = served.resource
    name = metadata.get("name") or ""
    prefix = metadata.get("generateName") or ""
    # What follows a prefix counts as a letter.
    masked = f"{prefix[:-1]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix
    causes = name_causes("metadata.generateName", prefix, masked, resource.kind, resource.group) if prefix else []
    causes += name_causes("metadata.name", name, name, resource.kind, resource.group)
    causes += label_causes(metadata.get("labels") or {})
    causes += annotation_causes(metadata.get("annotations") or {})
    causes += finalizer_causes(metadata.get("finalizers") or (), custom=served.custom)
    if is_request and metadata.get("ownerReferences") != old.get("ownerReferences"):
        causes += owner_causes(metadata.get("ownerReferences") or ())
    causes += more
    if causes:
        raise invalid(resource.group, resource.kind, name, causes)
    finalizers = metadata.get("finalizers") or ()
    return finalizer_warnings(finalizers, old.get("finalizers") or ()) if served.custom else []


def check_identity(target: Target, metadata: Mapping[str, Any], uid: str) -> None:
    """Raises ApiError if an update carries another name (400) or another uid (409).

    Args:
        target: the object that the request's URL names.
        metadata: the new object's metadata.
        uid: the stored object's uid; "" skips that check.
    """
    name = metadata.get("name")
    if not name:
        raise bad_request(
            f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        )
    if name != target.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    if uid:
        check_expected(target, {"uid": metadata.get("uid")}, {"uid": uid})


def check_expected(target: Target, expected: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raises ApiError 409 if an object has another uid or resourceVersion than a request expects, if it expects one.

    Args:
        target: the object.
        expected: the metadata that the request expects.
        stored: the metadata that the object has.
    """
    for name, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted = expected.get(name)
        if wanted and wanted != stored.get(name):
            failed = f"{shown} in precondition: {wanted}, {shown} in object meta: {stored.get(name)}"
            raise conflict(
                target.served.resource,
                target.name,
                f"StorageError: invalid object, Code: 4, Key: /registry/{target.served.resource.plural}/{target.key}, "
                f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {failed}",
            )


def check_changes(target: Target, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raises ApiError 422 if an update changes the uid, marks the object as being deleted, or adds a finalizer then."""
    names = ["uid"]
    if target.subresource != "status":
        # A new deletionTimestamp of an object that has one already is ignored.
        names += ["deletionTimestamp"] if "deletionTimestamp" not in old else []
        names.append("deletionGracePeriodSeconds")
    causes = [
        Cause.bad(f"metadata.{name}", json.dumps(new[name]), "field is immutable")
        for name in names
        if new.get(name) not in (None, "", old.get(name))
    ]
    added = [json.dumps(each) for each in new.get("finalizers") or () if each not in (old.get("finalizers") or ())]
    if added and "deletionTimestamp" in old:
        why = "no new finalizers can be added if the object is being deleted, found new finalizers"
        causes.append(Cause.forbidden("metadata.finalizers", f"{why} []string{{{', '.join(added)}}}"))
    if causes:
        resource = target.served.resource
        raise invalid(resource.group, resource.kind, target.name, causes)


def check_version(target: Target, metadata: Mapping[str, Any], old: Stored | None) -> None:
    """Raises ApiError if the resourceVersion is not the stored object's (409), or is missing but required (422)."""
    served, resource = target.served, target.served.resource
    version = metadata.get("resourceVersion") or ""
    if version and not (version.isascii() and version.isdigit()):
        raise ApiError(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if old is None:
        return
    if version and int(version) not in (0, old.resource_version):
        raise conflict(resource, target.name)
    if not version and served.needs_resource_version:
        cause = Cause.bad("metadata.resourceVersion", "0", "must be specified for an update")
        raise invalid(resource.group, resource.plural, target.name, [cause])
