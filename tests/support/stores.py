"""Stores that tell a test what is written to them."""

from __future__ import annotations

import threading
from typing import Any

from informer import DeltaType, Store


class UpdateStore(Store[Any]):
    """A store that sets `updated` when a batch begins with an update."""

    def __init__(self) -> None:
        super().__init__()
        self.updated = threading.Event()

    def apply(self, *args: Any, **options: Any) -> Any:
        if args[0][0].type is DeltaType.UPDATED:
            self.updated.set()
        return super().apply(*args, **options)
