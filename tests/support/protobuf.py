"""Objects of the built-in kinds for property tests: every field that the table of kinds has may be set."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

from informer.protobuf.kinds import FieldType, message_fields

_TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(
    ["a" * 130, "ü", "\n", "k8s\0"]
)
_SECONDS = st.integers(0, 4_000_000_000)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXTS, inner, max_size=2),
    max_leaves=4,
).filter(lambda value: value is not None)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXTS,
    "bytes": st.binary(min_size=1, max_size=6).map(lambda data: base64.b64encode(data).decode()),
    "int": st.integers(-(2**31), 2**31 - 1),
    "uint": st.integers(0, 255),
    "bool": st.booleans(),
    "double": st.floats(-1e6, 1e6).map(lambda number: int(number) if number.is_integer() else number),
    "quantity": st.sampled_from(["0", "100m", "1Gi", "3"]),
    "int_or_string": st.integers(0, 65535) | _TEXTS,
    "time": st.datetimes().map(lambda moment: f"{moment.replace(microsecond=0).isoformat()}Z"),
    "micro_time": st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='microseconds')}Z"),
    "json": _JSON,
    "strings": st.lists(_TEXTS, min_size=1, max_size=2),
}


@st.composite
def parts(draw: Any, message: str, depth: int = 4) -> dict[str, Any]:
    """An object, or a part of one, in API form: a random choice of the fields of a message.

    Args:
        draw: of Hypothesis.
        message: the message's name in the table of kinds.
        depth: how many levels of messages may be nested.
    """
    made: dict[str, Any] = {}
    for field in message_fields(message):
        if not field.name:
            made |= draw(parts(field.value, depth))
        elif draw(st.integers(0, 3)) == 0 and (depth or "/" not in field.value):
            made[field.name] = draw(_values(field, depth))
    return made


def _values(field: FieldType, depth: int) -> st.SearchStrategy[Any]:
    form, _, part = field.value.partition(":")
    if form in _SCALARS:
        single = _SCALARS[form]
    elif part:
        single = st.booleans() if form == "schema_or_bool" else st.just({"type": "object"})
    else:
        single = parts(field.value, depth - 1)
    if field.shape == "list":
        return st.lists(single, min_size=1, max_size=2)
    if field.shape == "map":
        return st.dictionaries(_TEXTS, single, min_size=1, max_size=2)
    return single
