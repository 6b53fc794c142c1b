"""Plans turn a message, or only some of its fields, into the API's JSON form.

A plan is compiled once per type of message and set of wanted fields. It skips all other fields without reading their values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from informer.protobuf.kinds import FieldType, message_fields
from informer.protobuf.values import FROM_BYTES, FROM_VARINT, double_at
from watch.protobuf_wire import BYTES, CUT_OFF, DOUBLE, VARINT, Field, fields_in, varint_at

__all__ = ["Mask", "Plan", "UnknownFieldError", "frozen_mask", "plan_for"]

Mask = tuple[tuple[str, Any], ...] | None
"""The wanted fields: pairs of a name in JSON and the mask of what is below it; None for everything."""

_ONE, _LIST, _MAP, _INLINE = range(4)
_WIRE_TYPES = {"int": VARINT, "bool": VARINT, "uint": VARINT, "double": DOUBLE}
_WIRE_MASK = 7
# The JSON values of fields that are missing on the wire, but that Go always writes in JSON.
_ZEROS = {"string": "", "int": 0, "uint": 0, "bool": False, "double": 0, "quantity": "0", "int_or_string": 0}
# In JSON, servers write kind and apiVersion in the claims of a StatefulSet. In protobuf they are missing.
# Source: kubernetes pkg/apis/apps/v1/conversion.go, Convert_apps_StatefulSetSpec_To_v1_StatefulSetSpec.
_CLAIM_TEMPLATES = "volumeClaimTemplates"
_CLAIM_TYPE = {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}


class UnknownFieldError(ValueError):
    """An object has a field that the table of kinds lacks: the server is newer than the table.

    The object is not decoded without that field, since it would lose the field when it is written back.
    """


def frozen_mask(wanted: Mapping[str, Any] | None) -> Mask:
    """Returns a mask made of nested dicts of wanted fields, in which None stands for everything."""
    return None if wanted is None else tuple(sorted((name, frozen_mask(below)) for name, below in wanted.items()))


class _Step(NamedTuple):
    """How one field of a message is read."""

    shape: int
    name: str
    convert: Callable[..., Any]
    skip_zero: bool  # a value that is zero is left out of JSON


@lru_cache(maxsize=8192)
def plan_for(message: str, mask: Mask = None) -> Plan:
    """Returns the plan for a message; it is compiled when it first reads.

    Args:
        message: a name in the table of kinds.
        mask: the wanted fields; None for all.
    """
    return Plan(message, mask)


class Plan:
    """Reads one type of message.

    Args:
        message: its name in the table of kinds.
        mask: the wanted fields; None for all.
    """

    def __init__(self, message: str, mask: Mask) -> None:
        self._message = message
        self._mask = mask
        self._last = 0  # the highest wanted field number; servers write fields in ascending order
        self._steps: dict[int, _Step] = {}
        self._absent: list[tuple[str, Callable[[], Any]]] | None = None  # None until the plan is compiled

    def read(self, raw: bytes, at: int, end: int) -> dict[str, Any]:
        """Returns the wanted fields of a message, in JSON's form.

        Args:
            raw: bytes that contain the message.
            at: where it begins.
            end: where it ends.

        Raises:
            UnknownFieldError: all fields are wanted, and the message has one that the table lacks.
            ValueError: the bytes are not a message of this type.
            RecursionError: the message is nested too deeply.
        """
        absent = self.compiled()
        out: dict[str, Any] = {}
        try:
            self._read_fields(out, raw, at, end)
        except IndexError:
            raise ValueError(CUT_OFF) from None
        for name, zero in absent:
            if name not in out:
                out[name] = zero()
        return out

    # One loop without calls for skipped fields: it runs over every field of every message.
    def _read_fields(self, out: dict[str, Any], raw: bytes, at: int, end: int) -> None:  # noqa: C901
        steps, last, reads_all = self._steps, self._last, self._mask is None
        while at < end:
            begin, tag = at, raw[at]
            at += 1
            if tag > 0x7F:
                tag, at = varint_at(raw, begin)
            if tag >> 3 > last:
                if not reads_all:
                    return
                raise self._unknown(tag)
            step = steps.get(tag)
            if step is None and reads_all:
                raise self._unknown(tag)
            wire_type = tag & _WIRE_MASK
            if wire_type == BYTES:
                size = raw[at]
                at += 1
                if size > 0x7F:
                    size, at = varint_at(raw, at - 1)
                stop = at + size
                if stop > end:
                    raise ValueError(CUT_OFF)
                if step is not None:
                    if step[0] == _ONE:
                        value = step[2](raw, at, stop)
                        if value or not step[3]:
                            out[step[1]] = value
                    else:
                        _put_several(out, step, raw, at, stop)
                at = stop
            elif wire_type == VARINT:
                number = raw[at]
                at += 1
                if number > 0x7F:
                    number, at = varint_at(raw, at - 1)
                if step is not None:
                    _put_value(out, step, step[2](number))
            else:
                at = _put_double(out, step, next(fields_in(raw, begin, end)), raw)

    def _unknown(self, tag: int) -> UnknownFieldError:
        return UnknownFieldError(
            f"{self._message.rpartition('.')[2]} has a field of number {tag >> 3} that this version of kube-informer does not "
            'know: the server is newer; use wire="json", or a newer kube-informer'
        )

    @property
    def reads_fields(self) -> bool:
        """Whether the message has one of the wanted fields."""
        self.compiled()
        return bool(self._steps)

    def compiled(self) -> list[tuple[str, Callable[[], Any]]]:
        """Compiles the plan. Returns names and makers of the values that JSON has even if the message lacks them."""
        absent = self._absent
        if absent is None:
            wanted = None if self._mask is None else dict(self._mask)
            absent = self._absent = self._compile(wanted)
        return absent

    def _compile(self, wanted: dict[str, Mask] | None) -> list[tuple[str, Callable[[], Any]]]:
        steps: dict[int, _Step] = {}
        absent: list[tuple[str, Callable[[], Any]]] = []
        for field in message_fields(self._message):
            if not field.name:  # the fields of an inlined message may be wanted
                inner = plan_for(field.value, self._mask)
                inner_absent = inner.compiled()
                if wanted is None or inner.reads_fields:
                    steps[field.number << 3 | BYTES] = _Step(_INLINE, "", inner.read, skip_zero=False)
                    absent += inner_absent
                continue
            if wanted is not None and field.name not in wanted:
                continue
            self._add(steps, absent, field, None if wanted is None else wanted[field.name])
        self._last = max((tag >> 3 for tag in steps), default=0)
        self._steps = steps
        return absent

    def _add(
        self, steps: dict[int, _Step], absent: list[tuple[str, Callable[[], Any]]], field: FieldType, mask: Mask
    ) -> None:
        shape = {"one": _ONE, "list": _LIST, "map": _MAP}[field.shape]
        convert = _converter(field.value, mask, is_map=shape == _MAP)
        if field.name == _CLAIM_TEMPLATES and shape == _LIST:
            convert = _with_claim_type(convert)
        is_plain = field.value in FROM_VARINT or field.value in ("string", "bytes", "double")
        leaves_out = "omitempty" in field.flags
        skip_zero = (leaves_out and is_plain and "pointer" not in field.flags and shape == _ONE) or (
            "omitzero" in field.flags
        )
        wire_type = BYTES if shape == _MAP else _WIRE_TYPES.get(field.value, BYTES)
        step = _Step(shape, field.name, convert, skip_zero)
        steps[field.number << 3 | wire_type] = step
        if shape == _LIST and wire_type == VARINT:
            steps[field.number << 3 | BYTES] = _Step(_LIST, field.name, _packed(convert), skip_zero)
        zero = _zero_of(field, convert)
        if zero is not None:
            absent.append((field.name, zero))


def _put_several(out: dict[str, Any], step: _Step, raw: bytes, start: int, end: int) -> None:
    """Adds an item of a list, an entry of a map, or the fields of an inlined message."""
    shape, name, convert, _ = step
    if shape == _LIST:
        value = convert(raw, start, end)
        items = out.get(name)
        if items is None:
            items = out[name] = []
        if type(value) is _Packed:
            items.extend(value)
        else:
            items.append(value)
    elif shape == _MAP:
        entries = out.get(name)
        if entries is None:
            entries = out[name] = {}
        convert(entries, raw, start, end)
    else:
        out.update(convert(raw, start, end))


def _put_value(out: dict[str, Any], step: _Step, value: Any) -> None:
    if step.shape == _LIST:
        out.setdefault(step.name, []).append(value)
    elif value or not step.skip_zero:
        out[step.name] = value


def _put_double(out: dict[str, Any], step: _Step | None, field: Field, raw: bytes) -> int:
    if step is not None:
        _put_value(out, step, double_at(raw, field.start, field.end))
    return field.end


def _converter(value: str, mask: Mask, *, is_map: bool) -> Callable[..., Any]:
    if is_map:
        keys = None if mask is None else dict(mask)
        return _map_reader(value, keys)
    return _single_converter(value, mask)


def _single_converter(value: str, mask: Mask) -> Callable[..., Any]:
    if value in FROM_VARINT:
        return FROM_VARINT[value]
    found = FROM_BYTES.get(value)
    if found is not None:
        return found
    if value == "double":
        return double_at
    form, _, message = value.rpartition(":")
    if form:
        return _SCHEMA_FORMS[form](message)
    return plan_for(message, mask).read


def _map_reader(value: str, keys: dict[str, Mask] | None) -> Callable[..., None]:
    """Returns a function that puts an entry of a map into a dict; with `keys`, only entries of these keys."""
    convert = _single_converter(value, None)

    def read(entries: dict[str, Any], raw: bytes, start: int, end: int) -> None:
        key, at, stop = _entry_at(raw, start, end)
        if keys is None:
            entries[key] = convert(raw, at, stop)
        elif key in keys:
            entries[key] = _single_converter(value, keys[key])(raw, at, stop)

    return read


def _entry_at(raw: bytes, start: int, end: int) -> tuple[str, int, int]:
    """Returns the key of an entry of a map, and where its value begins and ends."""
    if end - start > 3:
        # The usual entry: both fields are there, each shorter than 128 bytes.
        key_end = start + 2 + raw[start + 1]
        if key_end + 2 <= end and raw[start] == 0x0A and raw[start + 1] < 0x80 and raw[key_end] == 0x12:
            value_start = key_end + 2
            if value_start + raw[key_end + 1] == end and raw[key_end + 1] < 0x80:
                return raw[start + 2 : key_end].decode(), value_start, end
    key, at, stop = "", start, start
    for field in fields_in(raw, start, end):
        if field.number == 1:
            key = raw[field.start : field.end].decode()
        elif field.number == 2:
            at, stop = field.start, field.end
    return key, at, stop


def _zero_of(field: FieldType, convert: Callable[..., Any]) -> Callable[[], Any] | None:
    """Returns a function that makes the JSON value of a field that the message lacks; None if JSON leaves the field out."""
    leaves_out = "omitempty" in field.flags
    is_pointer = "pointer" in field.flags
    if "omitzero" in field.flags or (leaves_out and (is_pointer or field.shape != "one")):
        return None
    if is_pointer or field.shape != "one":
        return _none
    if field.value in _ZEROS:
        zero = _ZEROS[field.value]
        if leaves_out and field.value not in ("quantity", "int_or_string"):
            return None
        return lambda: zero
    if field.value == "bytes":
        return None if leaves_out else _none
    # A message that is not a pointer is never left out.
    return lambda: convert(b"", 0, 0)


def _none() -> None:
    return None


class _Packed(list[Any]):
    """Several numbers of a repeated field, packed into one value, which protobuf allows."""


def _packed(convert: Callable[[int], Any]) -> Callable[[bytes, int, int], _Packed]:
    def read(raw: bytes, start: int, end: int) -> _Packed:
        numbers = _Packed()
        while start < end:
            value, start = varint_at(raw, start)
            numbers.append(convert(value))
        return numbers

    return read


def _with_claim_type(convert: Callable[..., Any]) -> Callable[..., Any]:
    def read(raw: bytes, start: int, end: int) -> dict[str, Any]:
        return {**_CLAIM_TYPE, **convert(raw, start, end)}

    return read


# Readers for the parts of a CustomResourceDefinition's schema that have one of two forms in JSON.
# Source: apiextensions-apiserver pkg/apis/apiextensions/v1/marshal.go.


def _schema_or_bool(message: str) -> Callable[[bytes, int, int], Any]:
    schema = _part_of(message, 2)

    def read(raw: bytes, start: int, end: int) -> Any:
        allows = False
        for field in fields_in(raw, start, end):
            if field.number == 2:
                return schema(raw, field.start, field.end)
            allows = bool(field.value)
        return allows

    return read


def _schema_or_array(message: str) -> Callable[[bytes, int, int], Any]:
    schema = _part_of(message, 1)

    def read(raw: bytes, start: int, end: int) -> Any:
        found = list(fields_in(raw, start, end))
        several = [schema(raw, field.start, field.end) for field in found if field.number == 2]
        if several:
            return several
        return next((schema(raw, field.start, field.end) for field in found if field.number == 1), None)

    return read


def _schema_or_strings(message: str) -> Callable[[bytes, int, int], Any]:
    schema = _part_of(message, 1)

    def read(raw: bytes, start: int, end: int) -> Any:
        found = list(fields_in(raw, start, end))
        texts = [raw[field.start : field.end].decode() for field in found if field.number == 2]
        if texts:
            return texts
        return next((schema(raw, field.start, field.end) for field in found if field.number == 1), None)

    return read


def _part_of(message: str, number: int) -> Callable[[bytes, int, int], Any]:
    """Reads the schema in one field of such a part. Its plan is made at the first read, since schemas contain such parts."""

    def read(raw: bytes, start: int, end: int) -> Any:
        value = next(field.value for field in message_fields(message) if field.number == number)
        return plan_for(value).read(raw, start, end)

    return read


_SCHEMA_FORMS: dict[str, Callable[[str], Callable[[bytes, int, int], Any]]] = {
    "schema_or_bool": _schema_or_bool,
    "schema_or_array": _schema_or_array,
    "schema_or_strings": _schema_or_strings,
}
