"""The rules of a schema, x-kubernetes-validations: what they say about objects, and what is wrong with a rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("cel_expr_python")

from tests.contracts.conftest import BOTH, Servers
from tests.contracts.definitions import DEFINITIONS, definition_of, joint_servers

GROUP = "rules.example.com"
PATH = f"/apis/{GROUP}/v1/namespaces/{{ns}}/ruleds"


def ruled(type: str, *rules: Any, **schema: Any) -> dict[str, Any]:
    """Returns a schema with rules, each a text or a dict."""
    listed = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    return {"type": type, **schema, "x-kubernetes-validations": listed}


INTEGER = {"type": "integer"}
X = {"properties": {"x": INTEGER}}
ESCAPED = "self.a__dash__b == 1 && self.__namespace__ == 2 && self.c__dot__d == 3 && self.x__underscores__y == 4"
GROWING = {
    "type": "object",
    "required": ["k"],
    "properties": {"k": {"type": "string"}, "v": ruled("integer", "self >= oldSelf")},
}
OPTIONAL = {"rule": "!oldSelf.hasValue() || oldSelf.value() <= self", "optionalOldSelf": True}
SPEC = {
    "a": ruled("integer", "self < 10"),
    "message": ruled("integer", {"rule": "self < 10", "message": "too big"}),
    "explained": ruled("integer", {"rule": "self < 10", "messageExpression": "self > 50 ? 'huge' : 'big'"}),
    "fallback": ruled(
        "integer", {"rule": "self < 10", "messageExpression": "self > 50 ? '' : 'x\\ny'", "message": "big"}
    ),
    "forbidden": ruled("integer", {"rule": "self < 10", "reason": "FieldValueForbidden", "message": "no"}),
    "duplicate": ruled("integer", {"rule": "self < 10", "reason": "FieldValueDuplicate"}),
    "path": ruled("object", {"rule": "self.x < 10", "fieldPath": ".x", "message": "x!"}, **X),
    "needed": ruled("object", {"rule": "self.x < 10", "fieldPath": ".x", "reason": "FieldValueRequired"}, **X),
    "fixed": ruled("string", {"rule": "self == oldSelf", "message": "immutable"}, maxLength=20),
    "grows": ruled("integer", "self > oldSelf"),
    "optional": ruled("integer", OPTIONAL),
    "text": ruled("string", {"rule": "self.startsWith('a')", "messageExpression": "'got ' + self"}, maxLength=10),
    "has": ruled("object", "has(self.x)", **X),
    "arr": ruled("array", "self.all(x, x != 5)", "self.size() < 4", maxItems=10, items=ruled("integer", "self > 0")),
    "map": ruled(
        "object",
        "self.all(k, k.startsWith('k'))",
        maxProperties=10,
        additionalProperties=ruled("integer", "self > 0"),
    ),
    "deep": ruled("object", "self.x.y == 1", properties={"x": {"type": "object", "properties": {"y": INTEGER}}}),
    "div": ruled("integer", "10 / self > 1"),
    "lm": {
        "type": "array",
        "maxItems": 10,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": GROWING,
    },
    "num": ruled("number", "self < 1.5"),
    "objs": {
        "type": "array",
        "maxItems": 10,
        "items": ruled("object", {"rule": "self.x < 10", "fieldPath": ".x"}, properties={"x": INTEGER}),
    },
    "quantity": ruled("string", "quantity(self).isLessThan(quantity('1Gi')) && sign(quantity(self)) > 0", maxLength=20),
    "time": ruled("string", "self > timestamp('2020-01-01T00:00:00Z')", format="date-time"),
    "range": ruled(
        "object",
        "self.start < self.end && self.end - self.start < duration('1h')",
        properties={name: {"type": "string", "format": "date-time"} for name in ("start", "end")},
    ),
    "duration": ruled("string", "self < duration('1h')", format="duration"),
    "ios": {
        "x-kubernetes-int-or-string": True,
        "x-kubernetes-validations": [{"rule": "type(self) == int ? self < 10 : self == 'x'"}],
    },
    "bytes": ruled("string", "size(self) == 1", format="byte", maxLength=10),
    "names": ruled("object", ESCAPED, properties=dict.fromkeys(("a-b", "namespace", "c.d", "x__y"), INTEGER)),
    "ip": ruled("string", "isIP(self) && ip(self).family() == 4 && cidr('10.0.0.0/8').containsIP(self)", maxLength=20),
    "found": ruled("string", "self.find('[0-9]+') == '12' && self.findAll('[0-9]').size() == 2", maxLength=20),
    "sorted": ruled(
        "array",
        "self.isSorted() && self.sum() < 10 && self.max() < 8 && self.indexOf(4) < 0",
        maxItems=5,
        items=INTEGER,
    ),
}
# Each spec with its causes' field, or nothing if it is valid.
OBJECTS: list[tuple[dict[str, Any], str]] = [
    *(({name: 10}, f"spec.{name}") for name in ("a", "message", "explained", "forbidden", "duplicate")),
    ({"a": 9, "fixed": "a", "grows": 1, "optional": 5}, ""),
    ({"explained": 100}, "spec.explained"),
    *(({"fallback": value}, "spec.fallback") for value in (50, 200)),
    ({"path": {"x": 10}}, "spec.path.x"),
    ({"needed": {"x": 10}}, "spec.needed.x"),
    ({"text": "b"}, "spec.text"),
    ({"has": {}}, "spec.has"),
    ({"arr": [5]}, "spec.arr"),
    ({"arr": [0, 1]}, "spec.arr[0]"),
    ({"arr": [1, 2, 3, 4]}, "spec.arr"),
    ({"map": {"a": 1}}, "spec.map"),
    ({"map": {"k": 0}}, "spec.map[k]"),
    *(({"deep": value}, "spec.deep") for value in ({}, {"x": {}})),
    ({"div": 0}, "spec.div"),
    ({"num": 2}, "spec.num"),
    ({"num": 1}, ""),
    ({"objs": [{"x": 1}, {"x": 10}]}, "spec.objs[1].x"),
    *(({"quantity": value}, "spec.quantity") for value in ("2Gi", "x", "-1", "1.5e12")),
    *(({"quantity": value}, "") for value in ("500Mi", "0.5G", "1e3", "100m")),
    ({"time": "2019-01-01T00:00:00Z"}, "spec.time"),
    ({"range": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-01T00:30:00Z"}}, ""),
    ({"range": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-01T02:00:00Z"}}, "spec.range"),
    ({"duration": "2h"}, "spec.duration"),
    *(({"ios": value}, "spec.ios") for value in (11, "y")),
    *(({"ios": value}, "") for value in (9, "x")),
    ({"bytes": "YWE="}, "spec.bytes"),
    ({"names": {"a-b": 1, "namespace": 2, "c.d": 3, "x__y": 4}}, ""),
    ({"names": {"a-b": 1, "namespace": 2, "c.d": 3, "x__y": 5}}, "spec.names"),
    ({"ip": "10.1.2.3"}, ""),
    *(({"ip": value}, "spec.ip") for value in ("11.1.2.3", "::1", "x")),
    ({"found": "a12b"}, ""),
    ({"found": "a1"}, "spec.found"),
    ({"sorted": [1, 2, 3]}, ""),
    *(({"sorted": value}, "spec.sorted") for value in ([2, 1], [1, 4], [3, 7])),
]


def schema_of(spec: Any, *rules: str) -> dict[str, Any]:
    return ruled("object", *rules, properties={"spec": {"type": "object", "properties": spec}})


@pytest.fixture(params=BOTH, scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Servers with a resource whose schema has these rules."""
    schema = schema_of(SPEC, "self.metadata.name != 'bad'", "self.kind == 'Ruled'")
    with joint_servers(request, [definition_of(GROUP, "Ruled", {"v1": schema})]) as servers:
        yield servers


def write(servers: Servers, spec: Any, name: str = "x", **query: str) -> Any:
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Ruled", "metadata": {"name": name}, "spec": spec}
    return servers.ask("POST", PATH, body, query=query, unordered=True)


@pytest.mark.parametrize(("spec", "field"), OBJECTS, ids=[str(spec) for spec, _ in OBJECTS])
def test_rules_about_an_object(servers, spec, field):
    """A broken rule refuses the object, with its message, reason and field."""
    answer = write(servers, spec, dryRun="All")
    if field:
        assert [cause["field"] for cause in answer.body["details"]["causes"]] == [field]
    else:
        assert answer.status == 201


def test_rule_about_the_root(servers):
    """A rule of the whole object has no field, and can use the name."""
    answer = write(servers, {}, "bad", dryRun="All")
    assert answer.body["details"]["causes"][0]["field"] == "<nil>"


def test_rules_are_not_checked_on_an_object_of_the_wrong_types(servers):
    """The answer says so in a cause of its own."""
    answer = write(servers, {"a": "x", "message": 10}, dryRun="All")
    assert len(answer.body["details"]["causes"]) == 2


def test_rules_about_changes(servers):
    """Rules with oldSelf are checked in updates only, also in items of lists that are maps."""
    items = [{"k": "a", "v": 5}, {"k": "b", "v": 5}]
    write(servers, {"fixed": "a", "grows": 5, "optional": 5, "lm": items}, "up")
    for change, field in (
        ({"fixed": "b", "grows": 6}, "spec.fixed"),
        ({"fixed": None, "grows": 6}, ""),
        ({"grows": 5, "a": 1}, "spec.grows"),
        ({"grows": 6, "optional": 4}, "spec.optional"),
        ({"grows": 6, "lm": [{"k": "b", "v": 6}, {"k": "a", "v": 4}]}, "spec.lm[1].v"),
        ({"grows": 6, "lm": [{"k": "c", "v": 1}]}, ""),
    ):
        patch = {"spec": change}
        media = "application/merge-patch+json"
        answer = servers.ask("PATCH", f"{PATH}/up", patch, query={"dryRun": "All"}, media=media, unordered=True)
        found = [cause["field"] for cause in answer.body.get("details", {}).get("causes", ())]
        assert found == ([field] if field else []), change


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "syntax": (ruled("integer", "self <"), "rule"),
    "undeclared": (ruled("integer", "foo > 1"), "rule"),
    "undefined field": (ruled("object", "self.zz == 1", **X), "rule"),
    "field of an object without fields": (ruled("object", "self.zz == 1"), "rule"),
    "test of an undefined field": (ruled("object", "has(self.zz)", **X), "rule"),
    "undefined field below": (
        ruled("object", "has(self.x) && self.o.zz", properties={"x": INTEGER, "o": {"type": "object", **X}}),
        "rule",
    ),
    "not a bool": (ruled("integer", "self + 1"), "rule"),
    "types": (ruled("integer", "self == 'a'"), "rule"),
    "empty": (ruled("integer", " "), "rule"),
    "missing": (ruled("integer", {"message": "x"}), "rule"),
    "no message": (ruled("integer", "self > 1 &&\n self < 5"), "message"),
    "reason": (ruled("integer", {"rule": "self > 1", "reason": "x"}), "reason"),
    "unknown path": (ruled("object", {"rule": "true", "fieldPath": ".zz"}, **X), "fieldPath"),
    "no path": (ruled("object", {"rule": "true", "fieldPath": "x"}, **X), "fieldPath"),
    "messageExpression": (ruled("integer", {"rule": "self > 1", "messageExpression": "1"}), "messageExpression"),
    "messageExpression syntax": (
        ruled("integer", {"rule": "self > 1", "messageExpression": "x +"}),
        "messageExpression",
    ),
    "math": (ruled("integer", "math.greatest(self, 1) > 1"), "rule"),
}


@pytest.mark.parametrize(("schema", "field"), WRONG.values(), ids=WRONG)
def test_wrong_rule_refuses_its_definition(servers, schema, field):
    """The cause names the rule and has the compiler's message."""
    definition = definition_of(GROUP, "Wrong", {"v1": schema_of({"a": schema})})
    answer = servers.ask("POST", DEFINITIONS, definition, any_wording=True)
    rules = "spec.validation.openAPIV3Schema.properties[spec].properties[a].x-kubernetes-validations[0]"
    assert [cause["field"] for cause in answer.body["details"]["causes"]] == [f"{rules}.{field}"]


def test_rule_about_changes_of_items_without_keys(servers):
    """The items of such a list have no old values."""
    schema = {"type": "array", "maxItems": 5, "items": ruled("integer", "self > oldSelf")}
    answer = servers.ask("POST", DEFINITIONS, definition_of(GROUP, "Wrong", {"v1": schema_of({"a": schema})}))
    assert "uncorrelatable" in answer.body["message"]


def test_default_that_breaks_a_rule(servers):
    """The definition is refused."""
    schema = ruled("integer", "self > 1", default=1)
    answer = servers.ask("POST", DEFINITIONS, definition_of(GROUP, "Wrong", {"v1": schema_of({"a": schema})}))
    assert "failed rule: self > 1" in answer.body["message"]


def test_rule_about_the_root_knows_its_fields(servers):
    """Rules about the whole object may use its name, and no other undeclared field."""
    for text, status in (("self.metadata.name == 'a'", 201), ("self.metadata.labels == 1", 422), ("self.zz == 1", 422)):
        definition = definition_of(GROUP, "Wrong", {"v1": ruled("object", text)})
        assert servers.ask("POST", DEFINITIONS, definition, query={"dryRun": "All"}, only=("reason",)).status == status
