"""The HTTP request behind a list or a watch of a resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from informer.api_paths import dns_label
from informer.listwatch.encoding import Encoding, accept_header
from informer.listwatch.targets import Target
from informer.objects.label_selector import Selector
from informer.protobuf.kinds import kind_named
from watch.errors import ApiError
from watch.options import ListOptions

__all__ = ["ResourceOptions", "ResourceRequest", "namespaces_of"]


class ResourceOptions(TypedDict, total=False):
    """The options of `ListWatch.for_resource` besides the model."""

    namespace: str | Sequence[str] | None
    label_selector: Selector
    field_selector: str | Mapping[str, str] | None
    metadata_only: bool
    gzip: bool
    wire: Literal["json", "protobuf"]
    drop_managed_fields: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequest:
    """What is requested from the API server, apart from the options of a single call.

    Attributes:
        target: where the resource is served.
        namespaces: the namespaces; None for the whole cluster. A request is possible for at most one.
        label_selector: a label selector, or "".
        field_selector: a field selector, or "".
        metadata_only: whether to request the objects' metadata only.
        gzip: whether to request compressed answers.
        drop_managed_fields: whether to ask the server to leave out `metadata.managedFields`.
        encoding: whether to request protobuf.
        tweak: may change the options of each call; it returns the new options, or None to keep them.
    """

    target: Target
    namespaces: tuple[str, ...] | None = None
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False
    gzip: bool = False
    drop_managed_fields: bool = False
    encoding: Encoding = field(default_factory=lambda: Encoding(protobuf=False))
    tweak: Callable[[ListOptions], ListOptions | None] | None = None

    def open(self, options: ListOptions, *, watch: bool) -> Any:
        """Sends the request.

        Returns:
            The urllib3 response; its body has not been read.

        Raises:
            ApiError: the server refused.
            ValueError: there are several namespaces, or a namespace for a resource without namespaces.
        """
        if self.namespaces and len(self.namespaces) > 1:
            raise ValueError(
                f"{len(self.namespaces)} namespaces need a list each: use a SharedInformer, or for_namespace() for each"
            )
        if self.tweak is not None:
            options = self.tweak(options) or options
        query = self._query(options)
        if watch:
            query["watch"] = "true"
        try:
            path = self.target.path(self.namespaces[0] if self.namespaces else None)
            if watch and not self.target.can_watch:
                raise ApiError(405, "MethodNotAllowed", "the server offers no watch for it")
            protobuf = self._wants_protobuf()
            if protobuf:
                # Asked for when the answer is read, too; then its connection is in use, and this would need another.
                self.encoding.checks_fields(self.target.transport())
            accept = accept_header(
                watch=watch,
                protobuf=protobuf,
                metadata_only=self.metadata_only,
                drop_managed_fields=self.drop_managed_fields,
            )
            return self.target.transport().open(path, query, accept=accept, gzip=self.gzip)
        except ApiError as error:
            if error.status == 404:
                self.target.forget()
            raise

    def binding(self) -> dict[str, str]:
        """See `Source.binding`; `tweak` is not a part of it."""
        transport = self.target.transport()
        return {
            "server": transport.shown_host,
            "certificate authority": transport.authority(),
            "resource": self.target.place,
            "namespace": ",".join(self.namespaces or ()),
            "label_selector": self.label_selector,
            "field_selector": self.field_selector,
            "metadata_only": str(self.metadata_only),
            "drop_managed_fields": str(self.drop_managed_fields),
            "wire": "protobuf" if self.encoding.requested else "json",
        }

    def _wants_protobuf(self) -> bool:
        """Whether to request protobuf; custom resources can be had so for their metadata only."""
        return self.encoding.protobuf and (self.metadata_only or kind_named(*self.target.item_type) is not None)

    def _query(self, options: ListOptions) -> dict[str, str]:
        """The query of a call. Selectors of the target, this request and the call are joined: an object must match all."""
        of_call = options.to_query()
        query = dict(self.target.query)
        for name, selector in (("labelSelector", self.label_selector), ("fieldSelector", self.field_selector)):
            parts = [part for part in (query.pop(name, ""), selector, of_call.pop(name, "")) if part]
            if parts:
                query[name] = ",".join(parts)
        # A limit given to an official list method replaces the page size, but does not split a call that has no limit.
        limit = query.pop("limit", None)
        if limit is not None and "limit" in of_call:
            of_call["limit"] = limit
        return {**query, **of_call}


def namespaces_of(namespace: Any) -> tuple[str, ...] | None:
    """Returns the namespaces of a user's `namespace` argument, each once; None for the whole cluster.

    Args:
        namespace: a name, a list of names, or None. "" means the same as None.

    Raises:
        ValueError: it is an empty list, or one of the names is not a DNS label.
    """
    if namespace is None or namespace == "":
        return None
    if isinstance(namespace, str):
        return (dns_label("namespace", namespace),)
    several = tuple(namespace)
    if not several or not all(isinstance(each, str) and each for each in several):
        raise ValueError(f"namespace must be a name, a list of at least one name, or None, not {namespace!r:.100}")
    return tuple(dict.fromkeys(dns_label("namespace", each) for each in several))
