"""The features that depend on the server's version.

Source: apiserver pkg/features/kube_features.go.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["ServerVersion"]

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.\d+)?\Z")


class ServerVersion(NamedTuple):
    """A Kubernetes version and its feature gates."""

    major: int
    minor: int
    sharding_gate: bool = False

    @classmethod
    def parse(cls, text: str, *, sharded_list_and_watch: bool = False) -> ServerVersion:
        """Parses a version such as "1.37" or "v1.37.2".

        Raises:
            ValueError: the text is not a version.
        """
        found = _VERSION.match(text)
        if found is None:
            raise ValueError(f'{text!r} is not a version of Kubernetes; a valid one is "1.37"')
        return cls(int(found[1]), int(found[2]), sharded_list_and_watch)

    @property
    def has_watch_list(self) -> bool:
        """Whether a watch may set sendInitialEvents: on by default in 1.32, off in 1.33, on since 1.34."""
        return self >= (1, 34) or self[:2] == (1, 32)

    @property
    def compresses_watch_list(self) -> bool:
        """Whether a watch list is compressed for clients that accept gzip."""
        return self >= (1, 37)

    @property
    def drops_managed_fields(self) -> bool:
        """Whether an Accept header may ask for objects without managedFields (KEP-5958); older servers ignore it."""
        return self >= (1, 38)

    @property
    def has_sharding(self) -> bool:
        """Whether shardSelector is honoured; older servers ignore it."""
        return self.sharding_gate and self >= (1, 36)
