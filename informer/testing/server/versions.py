"""What servers of different versions can do.

Source: apiserver pkg/features/kube_features.go.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["ServerVersion"]

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.\d+)?\Z")


class ServerVersion(NamedTuple):
    """A version and its gates."""

    major: int
    minor: int
    sharding_gate: bool = False

    @classmethod
    def parse(cls, text: str, *, sharded_list_and_watch: bool = False) -> ServerVersion:
        """Reads "1.37" or "v1.37.2".

        Raises:
            ValueError: it is no version.
        """
        found = _VERSION.match(text)
        if found is None:
            raise ValueError(f'{text!r} is no version of Kubernetes: "1.37" is one')
        return cls(int(found[1]), int(found[2]), sharded_list_and_watch)

    @property
    def has_watch_list(self) -> bool:
        """Whether a watch may ask to begin with the state: on in 1.32, off in 1.33, and on since."""
        return self >= (1, 34) or self[:2] == (1, 32)

    @property
    def compresses_watch_list(self) -> bool:
        """Whether a watch that begins with the state is compressed for who asks."""
        return self >= (1, 37)

    @property
    def has_sharding(self) -> bool:
        """Whether shardSelector means anything."""
        return self.sharding_gate and self >= (1, 36)
