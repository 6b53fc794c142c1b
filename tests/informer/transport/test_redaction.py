"""A server, proxy, or a user's function repeats the request's credentials: they are in no message, log line or health page."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest

from informer import ApiError, Backoff, ListWatch, SharedInformer
from informer.metrics.health import Health
from informer.transport.transport import Transport
from tests.support.waiting import DEADLINE, eventually
from watch import Channel

QUICK = Backoff(initial=0.02, maximum=0.05)
TOKEN = "eyJhbGciOi" + "Jh.bGci_OiJ-" * 5
PASSWORD = "correct horse battery"
BASIC = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()


def echo(where: str) -> Any:
    """An answering function that sends the credentials of each request back."""

    def handler(request: Any, connection: Any) -> None:
        said = " ".join(request.headers.get(name, "") for name in ("authorization", "cookie", "x-api-token"))
        if where == "status":
            details = {"name": said, "causes": [{"message": said}]}
            body = {"kind": "Status", "code": 403, "reason": said, "message": f"bad {said}", "details": details}
            connection.answer(body, 403)
        elif where == "page":
            connection.answer(f"<html>{said}</html>".encode(), 200, Content_Type="text/html")
        elif where == "error-page":
            connection.answer(f"<html>{' ' * 7900}{said}</html>".encode(), 502, Content_Type="text/html")
        elif where == "json":
            connection.answer(json.dumps({"message": said}).encode(), 500)
        elif where == "location":
            connection.answer(b"", 302, Location=f"https://login/{said.split()[-1]}?{said}")
        elif where == "content-type":
            connection.answer(b"x", 200, Content_Type=f"text/{said}")
        elif where == "encoding":
            connection.answer(b"x", 200, Content_Encoding=said.split()[-1])
        else:
            connection.send(f"HTTP/1.1 500 {said}\r\nContent-Length: 0\r\n\r\n".encode())

    return handler


@pytest.mark.parametrize(
    "where", ["status", "page", "error-page", "json", "location", "content-type", "encoding", "reason"]
)
@pytest.mark.parametrize("kind", ["token", "password", "headers"])
def test_an_echo_is_redacted(where: str, kind: str, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever the credential is in the answer, it is not in the error, in the log, or on /readyz."""
    caplog.set_level(logging.DEBUG, "informer")
    server = serve(echo(where))
    if kind == "token":
        api_client = server.client(api_key={"authorization": f"Bearer {TOKEN}"})
    elif kind == "password":
        api_client = server.client(username="admin", password=PASSWORD)
    else:
        api_client = server.client()
        api_client.set_default_header("X-Api-Token", TOKEN)
        api_client.cookie = f"session={TOKEN[::-1]}; other=x"
    informer: Any = SharedInformer(ListWatch.for_resource(api_client, "pods"), backoff=QUICK)
    with informer:
        assert eventually(lambda: informer.sync_error() is not None)
        error = informer.sync_error()
        shown = f"{error} {error!r} {getattr(error, 'details', None)} {Health([informer], {}, {}).readiness_problems()}"
    seen = shown + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    for secret in (TOKEN, TOKEN[::-1], PASSWORD, BASIC, TOKEN[:30]):
        assert secret not in seen


def test_a_rotated_token_stays_hidden(serve: Any) -> None:
    """An old token that the server repeats later is redacted, too: it may still be valid."""
    old = [f"old-token-{number}-{'x' * 20}" for number in range(5)]
    server = serve(lambda request, connection: connection.answer({"kind": "Status", "message": " ".join(old)}, 403))
    api_client = server.client()
    for token in [*old, "new-token-" + "y" * 20]:
        api_client.configuration.api_key["authorization"] = f"Bearer {token}"
        with pytest.raises(ApiError) as caught:
            Transport(api_client).get_json("/api/v1")
    assert not any(token in str(caught.value) for token in old)


def test_a_users_exception_with_the_token_is_redacted(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A handler and an error handler that raise with the token in the text: the log has their names and not the token."""
    pod = {"metadata": {"name": "web", "namespace": "a", "resourceVersion": "1", "uid": "u"}}

    def handler(request: Any, connection: Any) -> None:
        if "watch" in request.query:
            connection.answer({"kind": "Status", "message": "no"}, 403)
        else:
            connection.answer(
                {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [pod]}
            )

    calls: Channel[str] = Channel(None)

    def fail(*_: Any) -> None:
        calls.put("called")
        raise ValueError(f"cannot use Bearer {TOKEN}\nERROR forged")

    api_client = serve(handler).client(api_key={"authorization": f"Bearer {TOKEN}"})
    options: Any = {"watch_error_handler": fail, "watch_list": False, "backoff": QUICK}
    informer: Any = SharedInformer(ListWatch.for_resource(api_client, "pods"), **options)
    informer.add_event_handler(on_add=fail)
    with informer:
        for _ in range(3):
            calls.get(DEADLINE)
        assert eventually(lambda: "watch_error_handler of informer" in caplog.text and "change of a/web" in caplog.text)
    assert TOKEN not in caplog.text
    assert not any(TOKEN in str(vars(record)) for record in caplog.records)
    assert "cannot use Bearer [redacted]" in caplog.text
    assert "\nERROR forged" not in caplog.text
