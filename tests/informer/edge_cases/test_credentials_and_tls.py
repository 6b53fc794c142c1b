"""Certificate authorities and tokens that change, and missing permissions."""

from __future__ import annotations

from typing import Any

from informer import ApiError, ListWatch, SharedInformer
from tests.support.waiting import eventually


def test_tls_rotation_goes_on_with_the_new_authority(
    scripted: Any, follow: Any, authority: Any, make_authority: Any, tmp_path: Any, say: Any
) -> None:
    """The CA file changes on disk while the informer runs; the next connection uses it."""
    from pathlib import Path

    context = authority.server_context("127.0.0.1")
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(authority.path).read_bytes())
    rotated = make_authority()

    def rotate(connection: Any) -> None:
        context.load_cert_chain(rotated.issue("127.0.0.1"))
        file.write_bytes(Path(rotated.path).read_bytes())
        say.watched(say.bookmark("7"), then="cut")(connection)

    server = scripted([say.listed("5")], [rotate, say.watched(say.bookmark("8"), then="hang")], tls=context)
    followed = follow(server, settings={"ssl_ca_cert": str(file)})
    assert followed.reaches("8")
    assert server.list_versions == ["0"]


def test_token_expiry_is_refreshed_once_and_the_watch_resumes(scripted: Any, follow: Any, say: Any) -> None:
    """A watch refused with 401 refreshes the token, and resumes at its version."""
    good = {"Bearer 1"}
    sent: list[str] = []

    def guarded(answer: Any) -> Any:
        def checked(connection: Any) -> None:
            sent.append(server.http.requests[-1].headers["authorization"])
            (answer if sent[-1] in good else say.refused(401, "Unauthorized"))(connection)

        return checked

    def expire(connection: Any) -> None:
        good.clear()
        good.add("Bearer 2")
        say.watched(say.bookmark("7"))(connection)

    class Loader:
        """Like the official client's loader: it reloads on request."""

        token = "Bearer 1"

        def _load_authentication(self) -> None:
            self.token = "Bearer 2"

    loader = Loader()

    def hook(configuration: Any) -> None:
        configuration.api_key["authorization"] = loader.token

    again = guarded(say.watched(say.bookmark("8"), then="hang"))
    server = scripted([guarded(say.listed("5"))], [guarded(expire), again, again])
    settings = {"api_key": {"authorization": "Bearer 1"}, "refresh_api_key_hook": hook}
    followed = follow(server, settings=settings)
    assert followed.reaches("8")
    assert sent == ["Bearer 1", "Bearer 1", "Bearer 1", "Bearer 2"]
    assert server.list_versions == ["0"]


def test_a_permanent_401_is_retried_and_reported(scripted: Any, follow: Any, say: Any) -> None:
    """If no credentials can be refreshed, the informer retries with backoff, and `sync_error()` has the 401."""
    server = scripted([say.refused(401, "Unauthorized", "Unauthorized")], [])
    followed = follow(server)
    assert server.wait_for(lists=4)
    error = followed.informer.sync_error()
    assert isinstance(error, ApiError)
    assert error.status == 401
    assert not followed.informer.wait_for_sync(0)


def test_403_for_a_namespace_is_explained_and_stops_no_other(serve: Any, say: Any) -> None:
    """The namespace is retried with backoff and reported by `sync_error()`, while the other one is watched."""

    def handler(request: Any, connection: Any) -> None:
        if "/namespaces/secret/" in request.path:
            say.refused(
                403, "Forbidden", 'pods is forbidden: User "x" cannot list resource "pods" in namespace "secret"'
            )(connection)
        elif "watch" in request.query:
            say.HANG(connection)
        else:
            say.listed("5", "a")(connection)

    source = ListWatch.for_resource(serve(handler).client(), "pods", namespace=["open", "secret"])
    with SharedInformer(source, backoff=say.backoff, watch_list=False) as informer:
        assert eventually(lambda: informer.sync_error() is not None and len(informer.store) == 1)
        assert 'in namespace "secret"' in str(informer.sync_error())
        assert not informer.wait_for_sync(0.05)
        assert not informer.is_watching
