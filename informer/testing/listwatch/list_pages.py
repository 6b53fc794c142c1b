"""Serves lists page by page: which objects, in which order, at which resourceVersion.

All pages of a list show the same resourceVersion, whatever is written between them.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions-in-list-requests; apiserver
pkg/storage/continue.go.
"""

from __future__ import annotations

import base64
from bisect import bisect_right
from typing import Any, NamedTuple

from informer.testing.listwatch.list_options import ListQuery
from informer.testing.listwatch.selection import Selection
from informer.testing.storage.statuses import ExpiredContinueError, bad_request, expired, too_large_resource_version
from informer.testing.storage.storage import Bucket, Snapshot, Storage, Stored

__all__ = ["Page", "list_page"]

_EXPIRED = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."  # noqa: E501


class Page(NamedTuple):
    """A whole list, or one page of it, with the list's metadata."""

    objects: list[Stored]
    metadata: dict[str, Any]


class _Token(NamedTuple):
    """A continue token: where the next page begins."""

    resource_version: int  # -1: the newest, although the earlier pages showed an older one
    start: str  # the last key of the previous page

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.resource_version} {self.start}".encode()).decode()

    @classmethod
    def read(cls, text: str) -> _Token:
        try:
            version, _, start = base64.urlsafe_b64decode(text).decode().partition(" ")
            return cls(int(version), start)
        except ValueError as error:
            raise bad_request("invalid continue token: continue key is not valid") from error


def list_page(storage: Storage, bucket: Bucket, namespace: str, options: ListQuery, selection: Selection) -> Page:
    """Returns one page of a list.

    Args:
        storage: gives the lock and the newest resourceVersion.
        bucket: the resource's objects.
        namespace: only objects in this namespace; "" means all.
        options: the request's options, already validated.
        selection: which objects the client selects.

    Raises:
        ApiError: 410, the resourceVersion was compacted; 504, it does not exist yet; 400, the token is malformed.

    Threads: any; objects are selected outside the storage's lock.
    """
    token = _Token.read(options.continue_) if options.continue_ else None
    if token is not None and options.version:
        raise bad_request("specifying resource version is not allowed when using continue")
    # kube-apiserver serves a list at resourceVersion 0 from its watch cache, which ignores limits.
    limit = 0 if options.resource_version == "0" else options.limit
    with storage.lock:
        snapshot = _snapshot_locked(storage, bucket, options, token)
    prefix = f"{namespace}/" if namespace else ""
    begin = bisect_right(snapshot.keys, prefix if token is None else max(prefix, token.start))
    # "0" is the character after "/", so every key of the namespace sorts before this text.
    end = bisect_right(snapshot.keys, f"{namespace}0") if namespace else len(snapshot.keys)
    chosen: list[Stored] = []
    metadata: dict[str, Any] = {"resourceVersion": str(snapshot.resource_version)}
    if selection.shards is not None:
        metadata["shardInfo"] = {"selector": options.shard_selector}
    for at in range(begin, end):
        stored = snapshot.objects[snapshot.keys[at]]
        if limit and len(chosen) == limit:
            # As in the real server, there is a next page even if none of the objects left is selected.
            metadata["continue"] = str(_Token(snapshot.resource_version, chosen[-1].key))
            if selection.everything:
                metadata["remainingItemCount"] = end - at
            break
        if selection.matches(stored):
            chosen.append(stored)
    return Page(chosen, metadata)


def _snapshot_locked(storage: Storage, bucket: Bucket, options: ListQuery, token: _Token | None) -> Snapshot:
    """Returns the objects that the list shows; of an exact list as they were, else the newest ones."""
    current = storage.resource_version
    if token is not None:
        wanted, exact = token.resource_version, token.resource_version > 0
    else:
        match, wanted = options.resource_version_match, options.version
        exact = match == "Exact" or (not match and options.limit > 0 and wanted > 0)
    if wanted > current:
        raise too_large_resource_version(wanted, current)
    if exact and wanted < bucket.oldest:
        if token is None:
            raise expired("The resourceVersion for the provided list is too old.")
        raise ExpiredContinueError(_EXPIRED, str(_Token(-1, token.start)))
    return bucket.snapshot_locked(wanted if exact else current, current)
