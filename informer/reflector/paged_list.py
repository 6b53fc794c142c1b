"""Collects the pages of a list until it is complete, and detects repeated continue tokens and lists that are too old."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from watch.errors import ApiError
from watch.versions import shown_version

__all__ = ["ContinueTokens", "PagedList", "contradiction", "older_list"]

# The most tokens of a list that are remembered, which take 7 MB. Then all are forgotten, and remembering begins anew.
_MAX_TOKENS = 100_000


class ContinueTokens:
    """The continue tokens of a list, as hashes.

    They reveal a list that never ends: a server may send the same page, or the same few pages in turn, again and again.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def repeats(self, token: str, *, is_first: bool) -> bool:
        """Remembers a page's token, and returns whether an earlier page of the list had the same one.

        Args:
            token: the page's continue token.
            is_first: whether the page is the first of its list.
        """
        if is_first or len(self._seen) >= _MAX_TOKENS:
            self._seen.clear()
        known = hash(token) in self._seen
        self._seen.add(hash(token))
        return known


def older_list(version: str, last: str) -> ApiError:
    """Returns the error for a list that is older than the last version seen.

    It equals the error of a server that lacks the requested version, so the reflector lists the newest state next.
    """
    return ApiError(
        504,
        "Timeout",
        f"the server listed its state at resourceVersion {shown_version(version)}, and had sent {shown_version(last)} "
        "before (was etcd restored from a backup?)",
        details={"causes": [{"reason": "ResourceVersionTooLarge"}]},
    )


def contradiction(reason: str) -> ApiError:
    """Returns the error for a saved state that the server contradicts. It equals that of a history that has gone back."""
    return ApiError(
        504,
        "Timeout",
        f"the snapshot is not used: {reason}",
        details={"causes": [{"reason": "ResourceVersionTooLarge"}]},
    )


@dataclass(slots=True)
class PagedList:
    """A list whose pages are being requested.

    Attributes:
        begun: when the first page was requested, by the reflector's clock.
        size: the number of objects in the pages that have arrived; an empty page counts as one.
        version: the resourceVersion of the first page, which is that of the whole list.
        items: the objects of the pages that have arrived.
        undecodable: the keys of the objects that have arrived and do not decode.
    """

    begun: float = 0.0
    size: int = 0
    version: str = ""
    items: list[Any] = field(default_factory=list)
    undecodable: set[str] = field(default_factory=set)
