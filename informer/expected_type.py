"""Whether the objects of a watch are of the type that was asked for, at no cost where they are.

Comes in: an apiVersion and kind, and objects' JSON. Goes out: how the JSON of such objects begins, and for any other object
what is to stand in its place.

Source: client-go tools/cache Reflector's expectedType and expectedGVK.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from informer.entries import Undecodable
from informer.objects import Object

__all__ = ["UnexpectedTypeError", "heads_of", "only_of"]


class UnexpectedTypeError(ValueError):
    """A watch brought an object of another type than was asked for."""


def heads_of(api_version: str, kind: str) -> tuple[bytes, ...]:
    """How the JSON of such objects begins: as API servers write it of their own types, and then of custom resources."""
    quoted_kind, quoted_version = json.dumps(kind).encode(), json.dumps(api_version).encode()
    return (
        b'{"kind":%b,"apiVersion":%b,' % (quoted_kind, quoted_version),
        b'{"apiVersion":%b,"kind":%b,' % (quoted_version, quoted_kind),
    )


def only_of(api_version: str, kind: str, decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A decoder of objects that sets those of another type aside; what does not say its type is taken for what it should be.

    What is set aside has no name: the object of that name in the cache, which is of the right type, must stay there.
    """

    def decode_checked(raw: bytes) -> Any:
        obj = Object.from_bytes(raw)
        if obj.kind in ("", kind) and obj.api_version in ("", api_version):
            return decode(raw)
        came = f"{obj.api_version[:100]}, Kind={obj.kind[:100]}"
        error = UnexpectedTypeError(f"a watch of {api_version}, Kind={kind} brought an object of {came}")
        return Undecodable("", "", "", "", raw, error)

    return decode_checked
