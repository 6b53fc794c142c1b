"""Warm starts: an informer continues from the snapshot that the last one has left, and is never wrong because of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typing_extensions import TypedDict

from informer import Backoff, ListWatch, Object, SharedInformer, SharedInformerFactory, Snapshot
from informer.sharding import ShardedListWatch
from informer.testing import EmbeddedAPIServer
from informer.transport.transport import Transport
from tests.support.informers import Call, Recorder
from tests.support.waiting import DEADLINE, eventually

_numbers = itertools.count()


class Place:
    """A namespace of a server, and a path for the snapshots of its config maps."""

    def __init__(self, server: EmbeddedAPIServer, api_client: Any, path: Path) -> None:
        self.server = server
        self.api_client = api_client
        self.path = path
        self.namespace = f"ns-{next(_numbers)}"
        server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": self.namespace}})

    def add(self, *names: str, **labels: str) -> None:
        for name in names:
            self.server.create(
                {
                    "kind": "ConfigMap",
                    "apiVersion": "v1",
                    "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
                }
            )

    def change(self, name: str, value: str) -> None:
        self.server.patch("configmaps", name, {"data": {"value": value}}, namespace=self.namespace)

    def delete(self, name: str) -> None:
        self.server.delete("configmaps", name, namespace=self.namespace)

    def versions(self) -> dict[str, str]:
        """Returns the resourceVersion of each object, by name."""
        found = self.server.list("configmaps", namespace=self.namespace)
        return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in found}

    def list_watch(self, **options: Any) -> ListWatch[Any]:
        return ListWatch.for_resource(self.api_client, "configmaps", namespace=self.namespace, **options)

    def informer(self, source: Any = None, **options: Any) -> SharedInformer[Any]:
        options.setdefault("snapshot", Snapshot(self.path, every=0))
        options.setdefault("backoff", Backoff(initial=0.005, maximum=0.02))
        return SharedInformer(source or self.list_watch(), name="maps", **options)

    def run(self, during: Callable[[SharedInformer[Any]], Any] = lambda _: None, **options: Any) -> list[Call]:
        """Runs an informer until it has synced and `during` returns; returns what its handler saw until the stop."""
        informer, recorder = self.informer(**options), Recorder()
        registration = informer.add_event_handler(recorder)
        informer.start()
        try:
            assert informer.wait_for_sync(DEADLINE)
            assert eventually(registration.has_synced)
            during(informer)
        finally:
            assert informer.stop(DEADLINE, drain=True)
        return recorder.take(len(recorder.calls))

    def lists(self) -> int:
        """Returns how many lists were requested of the namespace, except for those of one object."""
        return sum(
            "watch" not in request.query and request.query.get("limit") != "1"
            for request in self.server.requests
            if self.namespace in request.path and request.method == "GET"
        )


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedAPIServer]:
    with EmbeddedAPIServer() as made:
        yield made


@pytest.fixture(scope="module")
def api_client(server: EmbeddedAPIServer) -> Any:
    return server.api_client()


@pytest.fixture
def place(server: EmbeddedAPIServer, api_client: Any, tmp_path: Path) -> Iterator[Place]:
    yield Place(server, api_client, tmp_path / "maps")
    # Those that the client keeps open have a thread of the server.
    server.faults.cut_connections()


def seen(informer: SharedInformer[Any]) -> dict[str, str]:
    return {each.name: each.resource_version for each in informer.lister.list()}


def test_the_next_informer_watches_from_the_snapshot_without_a_list(place: Place) -> None:
    place.add("a", "b")
    place.run()
    lists = place.lists()
    calls = place.run(
        lambda informer: place.change("b", "new") or eventually(lambda: seen(informer) == place.versions())
    )
    assert [(call.what, call.key.partition("/")[2], call.detail) for call in calls[:2]] == [
        ("add", "a", True),
        ("add", "b", True),
    ]
    assert [(call.what, call.version) for call in calls[2:]] == [("update", place.versions()["b"])]
    assert place.lists() == lists


def test_a_synced_cache_shows_what_has_changed_meanwhile(place: Place) -> None:
    place.add("changed", "deleted", "same")
    place.run()
    before = place.versions()
    place.change("changed", "new")
    place.delete("deleted")
    place.add("added")
    shown: dict[str, str] = {}
    calls = place.run(lambda informer: shown.update(seen(informer)))
    assert shown == place.versions()
    calls = [(call.what, call.key.partition("/")[2], call.detail) for call in calls]
    assert sorted(calls[:3]) == [("add", name, True) for name in ("changed", "deleted", "same")]
    assert calls[3:] == [
        ("update", "changed", before["changed"]),
        ("delete", "deleted", False),
        ("add", "added", False),
    ]


def test_after_an_expired_version_handlers_get_the_difference(place: Place) -> None:
    place.add("changed", "deleted", "same")
    place.run()
    before = place.versions()
    place.change("changed", "new")
    place.delete("deleted")
    place.server.compact()
    lists = place.lists()
    shown: dict[str, str] = {}
    calls = place.run(lambda informer: shown.update(seen(informer)))
    assert shown == place.versions()
    assert place.lists() == lists + 1
    found = [(call.what, call.key.partition("/")[2], call.detail) for call in calls]
    assert sorted(found[:3]) == [("add", name, True) for name in ("changed", "deleted", "same")]
    assert found[3:] == [("delete", "deleted", True), ("update", "changed", before["changed"])]


def test_a_snapshot_is_not_shown_before_the_server_has_confirmed_it(place: Place) -> None:
    place.add("a")
    place.run()
    place.server.faults.refuse_connections()
    try:
        informer = place.informer()
        with informer:
            assert eventually(lambda: informer.sync_error() is not None)
            assert not informer.has_synced()
            assert len(informer.indexer) == 0
            place.server.faults.accept_connections()
            assert informer.wait_for_sync(DEADLINE)
            assert seen(informer) == place.versions()
    finally:
        place.server.faults.accept_connections()


@pytest.fixture
def one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes all servers seem to be the same."""
    monkeypatch.setattr(Transport, "shown_host", "https://cluster")


@pytest.mark.parametrize("writes", [0, 40])
def test_a_cluster_that_was_rebuilt_is_listed(
    place: Place, one_address: None, caplog: pytest.LogCaptureFixture, writes: int
) -> None:
    """Its versions are below those of the snapshot, or have passed them."""
    with EmbeddedAPIServer() as old:
        before = Place(old, old.api_client(), place.path)
        before.namespace = place.namespace
        old.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": place.namespace}})
        before.add("a", "b", "c")
        before.run()
    with EmbeddedAPIServer() as new:
        after = Place(new, new.api_client(), place.path)
        after.namespace = place.namespace
        new.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": place.namespace}})
        after.add("b")
        for number in range(writes):
            new.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": f"more-{number}"}})
        shown: dict[str, str] = {}
        calls = after.run(lambda informer: shown.update(seen(informer)))
        assert shown == after.versions()
        assert [(call.what, call.key) for call in calls] == [("add", f"{place.namespace}/b")]
    text = "the snapshot does not fit the server" if writes else "the server has gone back to before resourceVersion"
    assert text in caplog.text


def changed_by(obj: Object) -> Object:
    return obj.without("data")


class Typed(TypedDict):
    """A model that cannot be written back."""

    metadata: dict[str, Any]


class Model(msgspec.Struct):
    """A model."""

    data: dict[str, str] = {}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"source": {"label_selector": "app=web"}}, "label_selector"),
        ({"source": {"field_selector": "metadata.name=a"}}, "field_selector"),
        ({"source": {"metadata_only": True}}, "metadata_only"),
        ({"source": {"wire": "protobuf"}}, "wire"),
        ({"source": {"drop_managed_fields": True}}, "drop_managed_fields"),
        ({"source": {"model": dict}}, "model"),
        ({"source": {"model": Model}}, "model"),
        ({"transform": changed_by}, "transform"),
        ({"key_func": lambda obj: obj.name}, "key_func"),
        ({"version": "2"}, "version"),
    ],
)
def test_a_snapshot_of_other_options_is_ignored(
    place: Place, caplog: pytest.LogCaptureFixture, options: dict[str, Any], named: str
) -> None:
    place.add("a", app="web")
    place.run()
    lists = place.lists()
    version = options.pop("version", "")
    source = place.list_watch(**options.pop("source", {}))
    place.run(source=source, snapshot=Snapshot(place.path, every=0, version=version), **options)
    assert place.lists() == lists + 1
    assert f"maps: the snapshot {place.path} is ignored: it was made with another {named}" in caplog.text


def test_another_server_or_namespace_is_not_served_from_a_snapshot(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place.run()
    Place(place.server, place.api_client, place.path).run()
    assert "is ignored: it was made with another namespace" in caplog.text
    caplog.clear()
    with EmbeddedAPIServer() as other:
        Place(other, other.api_client(), place.path).run()
    assert "is ignored: it was made with another server" in caplog.text


def test_another_certificate_authority_is_another_cluster(
    place: Place, one_address: None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with EmbeddedAPIServer(tls=True) as server:
            Place(server, server.api_client(), place.path).run(snapshot=Snapshot(place.path, every=0))
    assert "is ignored: it was made with another certificate authority" in caplog.text


@pytest.mark.parametrize("source", [{"model": dict}, {"model": Model}, {"wire": "protobuf"}, {"metadata_only": True}])
def test_every_form_is_resumed(place: Place, source: dict[str, Any]) -> None:
    place.add("a", "b")
    place.change("a", "new")
    shown: list[Any] = []
    for _ in range(2):
        shown.append([])
        place.run(
            lambda informer: shown[-1].extend(sorted(map(repr, informer.lister.list()))),
            source=place.list_watch(**source),
        )
    assert len(shown[0]) == 2
    assert shown[0] == shown[1]
    assert place.lists() == 1


def test_a_transform_is_resumed(place: Place) -> None:
    place.add("a")
    place.change("a", "new")
    contents: list[Any] = []
    for _ in range(2):
        place.run(lambda informer: contents.append(informer.lister.list()[0].to_dict()), transform=changed_by)
    assert "data" not in contents[0]
    assert contents[0] == contents[1]
    assert place.lists() == 1


def test_it_is_saved_while_the_informer_runs(place: Place) -> None:
    place.add("a")

    def during(informer: SharedInformer[Any]) -> None:
        assert eventually(place.path.exists)
        first = place.path.read_bytes()
        place.change("a", "new")
        assert eventually(lambda: place.path.read_bytes() != first)

    place.run(during, snapshot=Snapshot(place.path, every=0.01))


def test_without_changes_it_is_not_written_again(place: Place) -> None:
    place.add("a")
    place.run()
    before = place.path.stat()
    place.run()
    assert place.path.stat().st_ino == before.st_ino


def test_nothing_is_saved_before_the_sync(place: Place) -> None:
    place.server.faults.refuse_connections()
    try:
        informer = place.informer()
        with informer:
            assert eventually(lambda: informer.sync_error() is not None)
        assert informer.stop(DEADLINE)
    finally:
        place.server.faults.accept_connections()
    assert not place.path.exists()


def test_a_cache_that_lacks_an_object_is_not_saved(place: Place) -> None:
    """With the next version of the program the object may decode, and no event would bring it."""
    place.add("a", "b")
    place.run(transform=lambda obj: obj if obj.name == "a" else None)
    assert not place.path.exists()


def test_a_folder_that_does_not_exist_is_reported(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    path = place.path / "missing" / "file"
    place.run(snapshot=Snapshot(path, every=0))
    assert f"maps: the snapshot {path} was not written: No such file or directory" in caplog.text


def test_a_transform_of_another_type_is_reported(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.add("a")
    place.run(transform=lambda obj: {"metadata": {"name": obj.name}})
    reason = "it cannot contain objects of type dict: let the transform return an Object"
    assert f"maps: the snapshot {place.path} was not written: {reason}" in caplog.text


def test_a_damaged_file_is_replaced(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.add("a")
    place.path.write_bytes(b"damaged" * 100)
    place.run()
    assert "is ignored: it does not begin as a snapshot of this version does" in caplog.text
    place.run()
    assert place.lists() == 1


def test_secrets_are_saved_only_where_that_is_allowed(place: Place) -> None:
    secrets = ListWatch.for_resource(place.api_client, "secrets", namespace=place.namespace)
    with pytest.raises(
        ValueError, match=r"^a snapshot of Secrets would write their content to the disk: pass Snapshot"
    ):
        SharedInformer(secrets, snapshot=place.path)
    place.run(source=secrets, snapshot=Snapshot(place.path, every=0, allow_secrets=True))
    assert place.path.exists()


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda client: ListWatch(print, print), {}, "snapshot= needs a list-watch that ListWatch.for_resource or"),
        (
            lambda client: ShardedListWatch(ListWatch.for_resource(client, "pods"), 0, 2),
            {},
            "snapshot= needs a list-watch that ListWatch.for_resource or",
        ),
        (
            lambda client: ListWatch.for_resource(client, "pods", namespace=["a", "b"]),
            {},
            "snapshot= needs one namespace or all: use an informer for each of several namespaces",
        ),
        (
            lambda client: ListWatch.for_resource(client, "pods"),
            {"queue": "delta"},
            'snapshot= needs queue="in_order": "delta" applies changes of different keys out of order',
        ),
        (
            lambda client: ListWatch.for_resource(client, "pods", model=Typed),
            {},
            "snapshot= needs objects that can be written: model= may be dict, a msgspec.Struct or an official class, not",
        ),
    ],
)
def test_what_cannot_have_a_snapshot_is_refused(
    api_client: Any, tmp_path: Path, make: Any, options: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        SharedInformer(make(api_client), snapshot=tmp_path / "x", **options)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^every must be 0 or more seconds, not -1$"):
        Snapshot("x", every=-1)
    with pytest.raises(TypeError):
        Snapshot(5)  # type: ignore[arg-type]


def test_a_factory_passes_it_on(place: Place) -> None:
    place.add("a")
    for _ in range(2):
        factory = SharedInformerFactory(place.api_client)
        maps = factory.informer("configmaps", namespace=place.namespace, snapshot=place.path)
        with factory:
            assert maps.wait_for_sync(DEADLINE)
            assert seen(maps) == place.versions()
        assert maps.stop(DEADLINE)
    assert place.lists() == 1


class Mirror:
    """A handler that keeps what it is told, and checks that it fits."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.faults: list[str] = []

    def on_add(self, obj: Any) -> None:
        if obj.name in self.versions:
            self.faults.append(f"{obj.name} added twice")
        self.versions[obj.name] = obj.resource_version

    def on_update(self, old: Any, new: Any) -> None:
        if self.versions.get(old.name) != old.resource_version or int(new.resource_version) < int(old.resource_version):
            self.faults.append(f"{old.name} goes back")
        self.versions[new.name] = new.resource_version

    def on_delete(self, obj: Any) -> None:
        if self.versions.pop(obj.name, None) is None:
            self.faults.append(f"{obj.name} deleted twice")


@pytest.mark.parametrize("seed", range(3))
def test_restarts_at_any_point_never_make_it_wrong(place: Place, seed: int) -> None:
    """Changes, stops, compactions, restarts of the server and damaged files, in any order."""
    dice = random.Random(seed)
    names = [f"m{number}" for number in range(8)]

    def write(times: int) -> None:
        for _ in range(times):
            name, present = dice.choice(names), place.versions()
            if name not in present:
                place.add(name)
            elif dice.random() < 0.4:
                place.delete(name)
            else:
                place.change(name, str(dice.random()))

    for _ in range(12):
        informer, mirror = place.informer(snapshot=Snapshot(place.path, every=dice.choice([0, 0.001]))), Mirror()
        registration = informer.add_event_handler(mirror)
        informer.start()
        write(dice.randrange(4))
        if dice.random() < 0.8:
            assert informer.wait_for_sync(DEADLINE)
            write(dice.randrange(4))
            assert eventually(lambda informer=informer: seen(informer) == place.versions())
            assert eventually(lambda mirror=mirror: mirror.versions == place.versions())
            assert registration.has_synced()
        assert informer.stop(DEADLINE)
        assert mirror.faults == []
        write(dice.randrange(6))
        fault = dice.random()
        if fault < 0.2:
            place.server.compact()
        elif fault < 0.3:
            place.server.restart()
        elif fault < 0.4 and place.path.exists():
            place.path.write_bytes(place.path.read_bytes()[: dice.randrange(2000)])
