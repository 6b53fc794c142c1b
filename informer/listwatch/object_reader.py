"""Makes the parsers and decoders for the answers to a `ResourceRequest`, in the format that the server chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from informer.listwatch.list_parser import ListParser
from informer.listwatch.protobuf_list import ProtobufListParser
from informer.listwatch.resource_request import ResourceRequest
from informer.listwatch.watch_decoding import UnexpectedTypeError, checked_decoder, json_heads
from informer.objects.entry import Skipped, Undecodable
from informer.objects.json_edit import retyped
from informer.objects.models import Codec
from informer.objects.object import Object, strip_managed_fields
from informer.objects.object_fields import reason_of
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf.kinds import Kind, kind_named, metadata_kind
from informer.protobuf.plan import UnknownFieldError, plan_for
from informer.transport.answers import content_type_of
from watch.framing import DEFAULT_MAX_LINE_BYTES
from watch.json_decoder import JSONDecoder
from watch.protobuf_decoder import ProtobufDecoder

__all__ = ["ObjectReader", "Reading", "WantedItems"]

# The apiVersion and kind of an object if only its metadata is requested.
_PARTIAL = ("meta.k8s.io/v1", "PartialObjectMetadata")
_MANAGED_FIELDS = b'"managedFields"'


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answers to a `ResourceRequest` are read.

    Attributes:
        codec: converts the server's objects to the user's.
        stored: whether to return objects as an informer stores them. One that does not decode is then an
            `Undecodable`; otherwise it is logged and left out.
        keep: called with each object before it is converted; returns whether it is wanted. Of an object that is not, an event
            has a `Skipped`, and a list nothing. None keeps all.
        listed: called with each item of a list as soon as it is parsed; its result takes the item's place. None keeps them.
        max_line_bytes: the longest event or list item that is accepted, in bytes.
        max_objects: the most items that are accepted in one page; None for no limit.
    """

    codec: Codec
    stored: bool = False
    keep: Callable[[Any], bool] | None = None
    listed: Callable[[Any], Any] | None = None
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES
    max_objects: int | None = None


class WantedItems:
    """A parser of a list that leaves out the items which another parser has skipped.

    Args:
        parser: yields a `Skipped` for each item that is not wanted.
    """

    def __init__(self, parser: ListParser | ProtobufListParser) -> None:
        self.first_bytes = parser.first_bytes
        self._parser = parser

    def feed(self, piece: bytes) -> Iterator[Any]:
        """See `ListParser.feed`."""
        return (item for item in self._parser.feed(piece) if type(item) is not Skipped)

    def last_items(self) -> Iterator[Any]:
        """See `ListParser.last_items`."""
        return (item for item in self._parser.last_items() if type(item) is not Skipped)


class ObjectReader:
    """Makes the parser for the answer to a list, and the decoder for the answer to a watch.

    Args:
        request: what was requested.
        reading: how the answers are read.
    """

    def __init__(self, request: ResourceRequest, reading: Reading) -> None:
        self._request = request
        self._reading = reading
        # Makes an item of an object; None if items are objects.
        self._finish = None if reading.codec.identity and reading.keep is None else self._finisher()

    def list_parser(self, response: Any) -> ListParser | ProtobufListParser:
        """Returns a parser of the list in a response."""
        if _is_protobuf(response):
            return ProtobufListParser(self._protobuf_item(), self._reading.max_line_bytes)
        item_type = ("", "") if self._request.metadata_only else self._request.target.item_type
        return ListParser(self._json_item, self._reading.max_line_bytes, on_bad_item=_undecodable, item_type=item_type)

    def watch_decoder(self, response: Any) -> JSONDecoder[Any] | ProtobufDecoder[Any]:
        """Returns a decoder of the watch in a response."""
        if _is_protobuf(response):
            make = self._protobuf_object()
            return ProtobufDecoder(
                response,
                decode_object=self._protobuf_event(make),
                decode_bookmark=make,
                max_frame_bytes=self._reading.max_line_bytes,
            )
        from_bytes, finish = self._json_object(), self._finish
        decode = from_bytes if finish is None else (lambda raw: finish(from_bytes(raw)))
        expected = self._expected_type()
        return JSONDecoder(
            response,
            decode_object=decode,
            decode_bookmark=from_bytes,
            max_line_bytes=self._reading.max_line_bytes,
            heads=() if expected is None else json_heads(*expected),
            decode_unusual=None if expected is None else checked_decoder(*expected, decode),
        )

    def _json_object(self) -> Callable[[bytes], Object]:
        """Returns a function that decodes the JSON of a watch event's object."""
        own = self._request.target.item_type if self._request.metadata_only else None
        drops = self._request.drop_managed_fields
        if own is None and not drops:
            return Object.from_bytes

        def decode(raw: bytes) -> Object:
            obj = Object.from_bytes(raw if own is None else _with_own_type(raw, own))
            return strip_managed_fields(obj) if drops and _MANAGED_FIELDS in raw else obj

        return decode

    def _json_item(self, raw: bytes, api_version: str, kind: str) -> Any:
        if self._request.metadata_only:
            api_version, kind = own = self._request.target.item_type
            raw = _with_own_type(raw, own)
        obj = Object.from_list_item(raw, api_version, kind)
        if self._request.drop_managed_fields and _MANAGED_FIELDS in raw:
            obj = strip_managed_fields(obj)
        item = obj if self._finish is None else self._finish(obj)
        listed = self._reading.listed
        return item if listed is None or type(item) is Skipped else listed(item)

    def _protobuf_item(self) -> Callable[[str, str, bytes], Any]:
        make = self._protobuf_object()
        finish, listed = self._finish, self._reading.listed

        def decode(api_version: str, kind: str, message: bytes) -> Any:
            obj = make(api_version, kind, message)
            item = obj if finish is None else finish(obj)
            return item if listed is None or type(item) is Skipped else listed(item)

        return decode

    def _protobuf_event(self, make: Callable[[str, str, bytes], Object]) -> Callable[[str, str, bytes], Any]:
        expected = None if self._request.metadata_only else self._expected_type()
        finish = self._finish

        def decode(api_version: str, kind: str, message: bytes) -> Any:
            if expected is not None and (api_version, kind) != expected:
                came = f"{api_version[:100]}, Kind={kind[:100]}"
                error = UnexpectedTypeError(
                    f"a watch of {expected[0]}, Kind={expected[1]} delivered an object of {came}"
                )
                return Undecodable("", "", "", "", message, error)
            try:
                obj = make(api_version, kind, message)
            except UnknownFieldError as error:
                self._request.encoding.use_json(self._request.target.name, error)
                # Ends the watch as if the server had closed it. The reflector resumes it, as JSON.
                raise EOFError("the watch is continued as JSON") from error
            return obj if finish is None else finish(obj)

        return decode

    def _protobuf_object(self) -> Callable[[str, str, bytes], Object]:
        """Returns a function that makes an object of a message; it raises UnknownFieldError if the object needs JSON."""
        request = self._request
        own = metadata_kind(*request.target.item_type) if request.metadata_only else None
        checks = request.encoding.checks_fields(request.target.transport())
        drops = request.drop_managed_fields

        def decode(api_version: str, kind: str, message: bytes) -> Object:
            what: Kind | None = own or kind_named(api_version, kind)
            if what is None:
                raise UnknownFieldError(
                    f"protobuf of {api_version[:100]}, Kind={kind[:100]} is not known to kube-informer"
                )
            if checks:
                plan_for(what.message).read(message, 0, len(message))
            obj: Object = ProtobufObject.of(message, what)
            return strip_managed_fields(obj) if drops else obj

        return decode

    def _expected_type(self) -> tuple[str, str] | None:
        """The apiVersion and kind that each object of a watch must have; None if they are not checked.

        Only built-in resources are checked: a custom resource may be redefined with another kind. Only an informer can report
        an object of another type, so watches without one are not checked.
        """
        if not self._reading.stored or self._request.metadata_only:
            return None
        resource = self._request.target.built_in
        return None if resource is None else (resource.api_version, resource.kind)

    def _finisher(self) -> Callable[[Object], Any]:
        keep, wrap = self._reading.keep, self._identity if self._reading.codec.identity else self._wrap
        if keep is None:
            return wrap

        def finish(obj: Object) -> Any:
            return wrap(obj) if keep(obj) else Skipped(obj)

        return finish

    @staticmethod
    def _identity(obj: Object) -> Any:
        return obj

    def _wrap(self, obj: Object) -> Any:
        try:
            return self._reading.codec.wrap(obj)
        # A user's type may raise anything. Only this object is left out.
        except Exception as error:
            return Undecodable(obj.name, obj.namespace, obj.uid, obj.resource_version, obj.raw, error)


def _is_protobuf(response: Any) -> bool:
    """Returns whether an answer says that it is protobuf, whatever was requested."""
    return "protobuf" in content_type_of(response)


def _with_own_type(raw: bytes, own: tuple[str, str]) -> bytes:
    """Gives a metadata-only object the apiVersion and kind of its resource. Raises ValueError if it is not a JSON object."""
    try:
        return retyped(raw, _PARTIAL, own)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not a JSON object: {reason_of(error)}") from None


def _undecodable(raw: bytes, error: Exception) -> Undecodable:
    return Undecodable("", "", "", "", raw, error)
