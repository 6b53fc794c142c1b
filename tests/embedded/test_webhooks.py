"""Admission webhooks of the embedded server: what fails, what is refused, and what happens at the same time."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.testing import EmbeddedAPIServer
from informer.testing.http.certificates import Certificates, make_certificates, make_minimal_certificates
from informer.testing.http.server import HttpServer
from tests.support.waiting import DEADLINE
from watch.errors import ApiError

KIND = "ValidatingWebhookConfiguration"
RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    with EmbeddedAPIServer() as server:
        yield server


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return make_certificates()


@pytest.fixture
def serve(certificates: Certificates) -> Iterator[Callable[..., dict[str, Any]]]:
    """Starts webhook servers; returns the clientConfig of one whose answers a function makes."""
    started = []

    def start(answer: Callable[[Any], dict[str, Any]], made: Certificates = certificates) -> dict[str, Any]:
        def handle(http: HttpServer, exchange: Any) -> None:
            review = json.loads(exchange.request.body)
            request = review["request"]
            review["response"] = {"uid": request["uid"], **answer(request)}
            exchange.answer(200, json.dumps(review).encode(), {"Content-Type": "application/json"})

        http = HttpServer(handle, context=made.server_context(), name="webhook")
        http.start()
        started.append(http)
        return {
            "url": f"https://127.0.0.1:{http.port}/",
            "caBundle": base64.b64encode(made.authority).decode(),
        }

    yield start
    for http in started:
        http.stop()


def configure(server: EmbeddedAPIServer, config: dict[str, Any], kind: str = KIND, **more: Any) -> None:
    webhook = {"name": "a.b.c", "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    server.create(
        {
            "kind": kind,
            "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"name": "hooks"},
            "webhooks": [{**webhook, "rules": [RULE], **more}],
        }
    )


def config_map(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, **fields}


def refusal(server: EmbeddedAPIServer) -> str:
    with pytest.raises(ApiError) as refused:
        server.create(config_map())
    assert refused.value.status == 500
    return refused.value.message


def test_a_service_cannot_be_called(server):
    """The error says so; with failurePolicy Ignore the write is admitted."""
    service = {"service": {"name": "a", "namespace": "b"}}
    configure(server, service)
    assert "has no service network: give clientConfig.url" in refusal(server)
    server.delete("validatingwebhookconfigurations", "hooks")
    configure(server, service, failurePolicy="Ignore")
    server.create(config_map())


def test_a_server_that_does_not_listen(server, serve):
    """The error names the URL."""
    configure(server, {"url": "https://127.0.0.1:1/x"})
    assert (
        'failed calling webhook "a.b.c": failed to call webhook: Post "https://127.0.0.1:1/x?timeout=10s"'
        in refusal(server)
    )


def test_an_authority_that_is_not_trusted(server, serve, certificates):
    """Without the right caBundle the webhook is not called."""
    config = serve(lambda request: {"allowed": True})
    configure(server, {**config, "caBundle": base64.b64encode(make_certificates().authority).decode()})
    assert "certificate verify failed" in refusal(server)
    server.delete("validatingwebhookconfigurations", "hooks")
    configure(server, {**config, "caBundle": base64.b64encode(b"x").decode()})
    assert "caBundle" in refusal(server)


def test_an_authority_with_few_extensions(server, serve):
    """The real server trusts certificates without key identifiers, and so does this one."""
    configure(server, serve(lambda request: {"allowed": True}, make_minimal_certificates()))
    server.create(config_map())


def test_a_webhook_that_does_not_answer(server, serve):
    """After timeoutSeconds the write fails."""
    over = threading.Event()

    def hang(request: Any) -> dict[str, Any]:
        over.wait(DEADLINE)
        return {"allowed": True}

    configure(server, serve(hang), timeoutSeconds=1)
    try:
        assert "context deadline exceeded" in refusal(server)
    finally:
        over.set()


def test_a_server_that_stops_while_a_webhook_is_asked(server, serve, run):
    """The call is interrupted, so that no thread is left, and the write fails."""
    asked, over = threading.Event(), threading.Event()

    def hang(request: Any) -> dict[str, Any]:
        asked.set()
        over.wait(DEADLINE)
        return {"allowed": True}

    configure(server, serve(hang), timeoutSeconds=30)
    write = run(refusal, server)
    assert asked.wait(DEADLINE)
    server.stop()
    assert "failed calling webhook" in write.result()
    over.set()


def test_a_webhook_may_call_the_server(server, serve):
    """No lock is held meanwhile: it reads and writes other objects."""

    def answer(request: Any) -> dict[str, Any]:
        server.create({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": f"for-{request['name']}"}})
        return {"allowed": bool(server.list("secrets"))}

    configure(server, serve(answer))
    server.create(config_map())
    assert server.get("secrets", "for-a")


def test_an_object_that_changes_while_a_webhook_is_asked(server, serve):
    """A patch is applied to the newest state, and the webhook is asked again; no change is lost."""
    server.create(config_map(data={"a": "1"}))
    asked = []

    def answer(request: Any) -> dict[str, Any]:
        asked.append(request["object"]["data"])
        if len(asked) == 1:
            server.patch("configmaps", "a", {"data": {"b": "2"}})
        return {"allowed": True}

    configure(server, serve(answer))
    changed = server.patch("configmaps", "a", {"data": {"c": "3"}})
    assert changed["data"] == {"a": "1", "b": "2", "c": "3"}
    assert asked == [{"a": "1", "c": "3"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}]


def test_an_object_that_is_created_while_a_webhook_is_asked(server, serve):
    """The slower creation fails with 409."""

    def answer(request: Any) -> dict[str, Any]:
        if request["object"].get("data"):
            server.create(config_map())
        return {"allowed": True}

    configure(server, serve(answer))
    with pytest.raises(ApiError) as refused:
        server.create(config_map(data={"a": "1"}))
    assert refused.value.reason == "AlreadyExists"


@pytest.mark.parametrize("kind", ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"])
def test_admission_policies_are_refused(server, kind):
    """The error says what to use instead."""
    with pytest.raises(ApiError, match=f"does not evaluate {kind}: test it with ControlPlane"):
        server.create({"kind": kind, "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "a"}})


def test_conditions_of_a_webhook_are_refused(server):
    """As policies, they need CEL about a request; a webhook that ignored them would be asked too often."""
    condition = {"name": "a", "expression": "true"}
    with pytest.raises(ApiError, match="does not evaluate matchConditions: test it with ControlPlane"):
        configure(server, {"url": "https://127.0.0.1:1/x"}, matchConditions=[condition])


def test_a_configuration_that_a_test_creates_is_checked(server):
    """Unlike other objects of method calls, since the server acts on it."""
    with pytest.raises(ApiError, match="sideEffects: Unsupported value"):
        configure(server, {"url": "https://127.0.0.1:1/x"}, sideEffects="Some")


def test_webhooks_are_not_asked_about_configurations(server, serve):
    """A webhook that denies everything can still be deleted."""
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    configure(server, serve(lambda request: {"allowed": False}), rules=[everything])
    with pytest.raises(ApiError, match="denied the request without explanation"):
        server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a"}})
    server.delete("validatingwebhookconfigurations", "hooks")
    server.create(config_map())
