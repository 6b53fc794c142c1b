"""Schemas of custom resources, as calls of the server's methods see them, and what is missing without an extra."""

from __future__ import annotations

import sys

import pytest

from informer.testing.storage.schemas import cel, validation
from informer.testing.storage.write import Admission
from watch.errors import ApiError

RULES_NEED = r"CEL expressions need the package cel-expr-python: pip install 'kube-informer\[cel\]'"
SCHEMAS_NEED = r"schemas of custom resources need the package jsonschema: pip install 'kube-informer\[testing\]'"
INTEGER = {"type": "integer"}


def schema_of(spec, *rules):
    fields = {"type": "object", "properties": spec}
    if rules:
        fields["x-kubernetes-validations"] = [{"rule": rule} for rule in rules]
    return {"type": "object", "properties": {"spec": fields}}


def widget(spec, name="w"):
    return {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def without(monkeypatch):
    """Makes a package look as if it was not installed."""

    def forget(package, loaded):
        monkeypatch.setitem(sys.modules, package, None)
        loaded.cache_clear()
        undo.append(loaded)

    undo = []
    yield forget
    monkeypatch.undo()
    for loaded in undo:
        loaded.cache_clear()


def test_define_takes_a_schema(server):
    """Objects are pruned, completed and validated."""
    server.define("Widget", schema=schema_of({"size": {**INTEGER, "default": 3, "minimum": 1}}))
    assert server.create(widget({"unknown": 1}))["spec"] == {"size": 3}
    with pytest.raises(ApiError, match=r"spec\.size in body should be greater than or equal to 1"):
        server.create(widget({"size": 0}, "small"))
    with pytest.raises(ApiError, match="must be of type integer"):
        server.patch("widgets", "w", {"spec": {"size": "big"}})


def test_method_calls_see_what_a_new_schema_makes_of_stored_objects(server):
    """Defaults are filled in, and dropped fields are gone, when an object is read."""
    server.define("Widget", schema=schema_of({"a": INTEGER, "b": INTEGER}))
    server.create(widget({"a": 1, "b": 2}))
    schema = schema_of({"a": INTEGER, "c": {**INTEGER, "default": 3}})
    operation = {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}
    server.patch("customresourcedefinitions", "widgets.example.com", [operation])
    assert server.get("widgets", "w")["spec"] == {"a": 1, "c": 3}
    assert server.list("widgets")[0]["spec"] == {"a": 1, "c": 3}
    assert server.patch("widgets", "w", {"metadata": {"labels": {"x": "y"}}})["spec"] == {"a": 1, "c": 3}


def test_what_webhooks_change_is_pruned_and_completed_again(server):
    """A mutating webhook neither adds unknown fields nor removes defaults."""

    class Webhook(Admission):
        def mutate(self, review):
            return {**review.obj, "spec": {"unknown": 1, "size": None}}

    server.define("Widget", schema=schema_of({"size": {**INTEGER, "default": 3}}))
    server._registry.admission = Webhook()
    assert server.create(widget({"size": 5}))["spec"] == {"size": 3}
    assert server.patch("widgets", "w", {"spec": {"size": 4}})["spec"] == {"size": 3}


def test_unknown_fields_of_built_in_kinds_are_dropped(server):
    """As in Go, which decodes into types."""
    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "foo": 1},
        "spec": {"nodeName": "n", "foo": [1]},
        "foo": 1,
    }
    created = server.create(pod)
    assert created["spec"]["nodeName"] == "n"
    assert "foo" not in {**created, **created["spec"], **created["metadata"]}


def test_rules_without_their_extra_are_refused(server, without):
    """The error of the definition names the extra."""
    without("cel_expr_python", cel._engine)
    with pytest.raises(ApiError, match=RULES_NEED) as caught:
        server.define("Widget", schema=schema_of({"a": INTEGER}, "self.a > 1"))
    assert caught.value.status == 501


def test_schemas_without_their_extra_are_refused(server, call, without):
    """The error of the definition names the extra. Resources whose objects may have any fields need none."""
    without("jsonschema", validation._validator_class)
    server.define("Gadget")
    with pytest.raises(ApiError, match=SCHEMAS_NEED):
        server.define("Widget", schema=schema_of({"without": INTEGER}))


@pytest.mark.parametrize(
    "rule", ["url(self.a).getHost() == 'x'", "self.l.all(i, v, v > i)", "self.l.sort()[0] == 1", "isSemver(self.a)"]
)
def test_functions_that_are_missing_are_refused(server, rule):
    """The error of the definition says that this server lacks them."""
    pytest.importorskip("cel_expr_python")
    spec = {"a": {"type": "string"}, "l": {"type": "array", "items": INTEGER}}
    with pytest.raises(ApiError, match="the embedded API server does not have CEL's"):
        server.define("Widget", schema=schema_of(spec, rule))


@pytest.mark.parametrize("pattern", ["[[:alpha:]]+", r"\pL"])
def test_patterns_that_are_missing_are_refused(server, pattern):
    """Python does not have them."""
    with pytest.raises(ApiError, match="must be a valid regular expression"):
        server.define("Widget", schema=schema_of({"a": {"type": "string", "pattern": pattern}}))


def test_formats_that_are_missing_are_refused(server):
    """The error of the definition says that this server lacks them."""
    with pytest.raises(ApiError, match="does not check the format isbn"):
        server.define("Widget", schema=schema_of({"a": {"type": "string", "format": "isbn"}}))
