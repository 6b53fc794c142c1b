"""Keeps creating, changing and deleting pods during faults."""

from __future__ import annotations

import itertools
from random import Random
from threading import Event
from typing import Any

import urllib3

from watch.concurrency import Worker


class Writer:
    """Creates, changes and deletes pods, directly at the server, until it is stopped.

    Args:
        namespace: where the pods are.
        random: chooses the writes.
        pause: seconds between two writes.
        names: how many different pods there are.
    """

    def __init__(self, namespace: Any, random: Random, *, pause: float = 0.01, names: int = 30) -> None:
        self.written = 0
        self._namespace = namespace
        self._random = random
        self._pause = pause
        self._names = [f"pod-{number}" for number in range(names)]
        self._existing: set[str] | None = None  # existing pods; None if unknown
        self._stop = Event()
        self._worker = Worker(self._run, "writer").start()

    def stop(self) -> None:
        """Stops it after the write in progress."""
        self._stop.set()
        assert self._worker.join(35)

    def _run(self) -> None:
        for turn in itertools.count():
            if self._stop.wait(self._pause):
                return
            try:
                self._write(turn)
                self.written += 1
            # The server is down, or went down before it answered; then it is unknown whether the write happened.
            except (urllib3.exceptions.HTTPError, AssertionError):
                self._existing = None

    def _write(self, turn: int) -> None:
        namespace, cluster = self._namespace, self._namespace.cluster
        if self._existing is None:
            self._existing = {key.partition("/")[2] for key in cluster.items(namespace.pods)}
        name = self._random.choice(self._names)
        if name not in self._existing:
            namespace.create_pods(name, turn=str(turn))
            self._existing.add(name)
        elif self._random.random() < 0.3:
            namespace.delete_pod(name)
            self._existing.discard(name)
        else:
            namespace.label_pod(name, turn=str(turn))
