"""Recognises answers that do not come from an API server: those of proxies, login pages, and other web servers. No I/O."""

from __future__ import annotations

import urllib.parse
from typing import Any, NamedTuple

from watch.printable import printable

__all__ = [
    "PROXY_HINT",
    "Foreign",
    "content_type_of",
    "explain_refusal",
    "foreign_success",
    "shown_address",
    "unrequested_encoding",
]

PROXY_HINT = "is a proxy or login page in front?"
# An API server sends JSON or protobuf. The others say nothing about what follows.
_MAYBE_JSON = ("", "text/plain", "application/octet-stream", "binary/octet-stream")
_TLS_WANTED = "HTTP request to an HTTPS server"


def content_type_of(response: Any) -> str:
    """Returns the media type of a response in lower case, without parameters; "" if it names none."""
    media_type = str(response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    return printable(media_type.encode(errors="replace"), 60)


class Foreign(NamedTuple):
    """Describes a response that does not come from an API server.

    Attributes:
        message: what is wrong with it.
        has_text: whether the message gets better by how the body begins.
    """

    message: str
    has_text: bool = False


def foreign_success(response: Any, asked: str, *, is_watch: bool) -> Foreign | None:
    """Returns what is wrong with a 2xx response by its headers; None if it may come from an API server.

    Args:
        response: an urllib3 response; its body is not read.
        asked: method and address of the request.
        is_watch: whether it answers a watch, which may end without an event.
    """
    if response.status == 204 or (response.headers.get("Content-Length") == "0" and not is_watch):
        return Foreign(f"{asked} was answered with {response.status} and an empty body, not with JSON ({PROXY_HINT})")
    media_type = content_type_of(response)
    if media_type in _MAYBE_JSON or "json" in media_type or "protobuf" in media_type:
        return None
    return Foreign(f"{asked} was answered with {media_type}, not JSON ({PROXY_HINT})", has_text=True)


def unrequested_encoding(response: Any, asked: str, *, gzip: bool) -> str:
    """Returns an error message if a response has an encoding that was not requested; "" if its Content-Encoding is right.

    Such a body must not be read: a few bytes of it may expand to gigabytes.

    Args:
        response: an urllib3 response, of which only the headers are used.
        asked: method and address of the request.
        gzip: whether gzip was requested.
    """
    encoding = str(response.headers.get("Content-Encoding") or "").strip().lower()
    if encoding in ("", "identity") or (gzip and encoding == "gzip"):
        return ""
    return (
        f"the answer to {asked} has the encoding {printable(encoding.encode(errors='replace'), 30)!r}, "
        "which was not requested (does a proxy in front change answers?)"
    )


def explain_refusal(response: Any, asked: str, text: str) -> str:
    """Returns the message for a response other than 2xx whose body is not a `Status`.

    Args:
        response: the urllib3 response.
        asked: method and address of the request.
        text: the beginning of its body, on one line.
    """
    location = response.headers.get("Location")
    if 300 <= response.status < 400:
        where = f" to {shown_address(location)}" if location else ""
        return f"{asked} was redirected{where}, which API servers do not do ({PROXY_HINT})"
    if response.status == 407:
        return f"a proxy requires a user name and password for {asked}: set them in its address. It said: {text}"
    if _TLS_WANTED in text:
        return f"{text} The address that was asked is {asked.partition(' ')[2]}: write https:// in the server's address"
    media_type = content_type_of(response)
    foreign = media_type not in _MAYBE_JSON and "json" not in media_type
    if foreign:
        return f"{text} ({asked} was answered with {media_type}, not JSON: {PROXY_HINT})".strip()
    return f"{text} (asked: {asked}; is the path in the server's address right?)" if response.status == 404 else text


def shown_address(address: Any) -> str:
    """Returns an address for messages, without the parts that can hold secrets: user name, password, query and fragment."""
    try:
        parts = urllib.parse.urlsplit(str(address))
    except ValueError:
        return "a malformed address"
    shown = urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return printable(shown.encode(errors="replace"), 200)
