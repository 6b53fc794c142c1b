"""Decides in which format a resource's objects are requested: JSON or protobuf, whole objects or only their metadata."""

from __future__ import annotations

from informer.listwatch.server_version import server_version
from informer.protobuf.kinds import kubernetes_version
from informer.transport.transport import Transport
from watch.logs import get_logger

__all__ = ["Encoding", "accept_header"]

_log = get_logger(__name__)

_JSON = "application/json"
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_METADATA = ";as=PartialObjectMetadata{list};g=meta.k8s.io;v=v1"
# Source: KEP-5958. Servers that do not know the parameter ignore it.
_DROP_MANAGED_FIELDS = ";drop=metadata.managedFields"


class Encoding:
    """Remembers whether a resource is requested in protobuf.

    A server that is newer than the table of kinds may send fields that the table lacks. After the first object with such a
    field, the resource is requested as JSON.

    Args:
        protobuf: whether to request protobuf at first.

    Threads: any.
    """

    def __init__(self, *, protobuf: bool) -> None:
        self.protobuf = self.requested = protobuf

    def checks_fields(self, transport: Transport) -> bool:
        """Returns whether to search each object for unknown fields: the server is newer than the table, or may be."""
        version = server_version(transport)
        return version is None or version > kubernetes_version()

    def use_json(self, resource_name: str, reason: Exception) -> None:
        """Makes all further requests ask for JSON, and logs the reason once."""
        if self.protobuf:
            self.protobuf = False
            _log.info("%s are read as JSON from now on: %s", resource_name, reason)


def accept_header(*, watch: bool, protobuf: bool, metadata_only: bool, drop_managed_fields: bool) -> str:
    """Returns the Accept header of a list or watch.

    Args:
        watch: whether it is a watch.
        protobuf: whether protobuf is preferred; JSON is accepted, too.
        metadata_only: whether to request the objects' metadata only.
        drop_managed_fields: whether the server should leave out `metadata.managedFields`.
    """
    parameters = _METADATA.format(list="" if watch else "List") if metadata_only else ""
    if drop_managed_fields:
        parameters += _DROP_MANAGED_FIELDS
    types = (_PROTOBUF, _JSON) if protobuf else (_JSON,)
    return ",".join(each + parameters for each in types)
