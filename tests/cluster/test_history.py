"""etcd restored from an older copy: the server's history goes back, and the cache follows it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from informer import Backoff
from informer.testing.control_plane import ControlPlane
from tests.cluster.conftest import Cluster, Informers, Namespace

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

WAYS: list[dict[str, Any]] = [
    {"watch_list": watch_list, "queue": queue} for watch_list in (False, True) for queue in ("in_order", "delta")
]
WITHIN = 30.0  # seconds


class Backup:
    """Stops both programs of a control plane around a copy of etcd's data."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self.plane = plane
        self._data = plane.log_directory / "etcd"
        self._copy = directory / "copy"

    def save(self) -> None:
        self._stop()
        shutil.copytree(self._data, self._copy)
        self._start()

    def restore(self) -> None:
        self._stop()
        shutil.rmtree(self._data)
        shutil.copytree(self._copy, self._data)
        self._start()

    def _stop(self) -> None:
        self.plane.kill()
        self.plane._etcd.kill()  # the control plane restarts kube-apiserver only

    def _start(self) -> None:
        self.plane._etcd.start()
        self.plane._wait_for(self.plane._etcd, self.plane._etcd_answers, time.monotonic() + 30)
        self.plane.restart()


@pytest.fixture(scope="module")
def restored_plane(control_plane_options: dict[str, Any]) -> Iterator[ControlPlane]:
    """A control plane whose etcd these tests restore from a copy."""
    with ControlPlane(**control_plane_options) as plane:
        yield plane


def test_a_cache_follows_a_server_whose_history_went_back(
    restored_plane: ControlPlane, informers: Informers, tmp_path: Path
) -> None:
    """kubernetes#107457. Objects made after the copy leave the cache, deleted ones return, changes are undone."""
    cluster = Cluster(restored_plane)
    namespace = Namespace(cluster)
    backup = Backup(restored_plane, tmp_path)
    namespace.create_pods("kept", "changed", "deleted")
    backup.save()
    made = [informers.start(namespace.list_watch(), **way) for way in WAYS]
    made.append(informers.start(namespace.list_watch(), backoff=Backoff()))
    namespace.create_pods(*(f"ghost-{i}" for i in range(20)))
    namespace.label_pod("changed", color="green")
    namespace.delete_pod("deleted")
    for informer in made:
        informers.wait_until_equal(informer, cluster, namespace.pods)
    backup.restore()
    begun = time.monotonic()
    listed = cluster.items(namespace.pods)
    assert sorted(key.partition("/")[2] for key in listed) == ["changed", "deleted", "kept"]
    for informer in made:
        informer.wait_until(lambda informer=informer: informers.cached(informer) == listed, WITHIN)
        assert informers.cached(informer) == listed
    assert time.monotonic() - begun < WITHIN
    # The watches follow the new history.
    namespace.label_pod("kept", color="red")
    for informer in made:
        informers.wait_until_equal(informer, cluster, namespace.pods)
        assert informer.sync_error() is None


def test_an_outage_without_a_restore_relists_nothing(restored_plane: ControlPlane, informers: Informers) -> None:
    """The history reaches the last version, so that the watch is resumed after one small request."""
    cluster = Cluster(restored_plane)
    namespace = Namespace(cluster)
    namespace.create_pods("kept")
    informer = informers.start(namespace.list_watch(), watch_list=False)
    reflector = informers.reflector(informer)
    # A watch that ends before its first event is followed by a list anyway; this event rules that out.
    version = namespace.label_pod("kept", watched="yes")["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(version, 10)
    assert reflector.lists == 1
    restored_plane.kill()
    restored_plane.restart()
    namespace.create_pods("later")
    informers.wait_until_equal(informer, cluster, namespace.pods)
    assert reflector.lists == 1
