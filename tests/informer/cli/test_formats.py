"""The formats of `informer watch`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from informer import Object
from informer.cli.errors import CommandError
from informer.cli.formats import age, field_cells, fields_of, json_line, jsonpath_format, name_line, yaml_document

OBJECT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "annotations": {"example.com/team": "a\x1b[2Jb"}},
    "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "web:1"}, {"image": "log:2"}]}}},
}
DEPLOYMENT = Object.from_dict(OBJECT)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{.metadata.name}", "web"),
        (".metadata.name", "web"),
        ("{$.metadata.namespace}/{.metadata.name}", "shop/web"),
        ('{.metadata.name}{"\\t"}{.spec.replicas}', "web\t3"),
        ("{.spec.template.spec.containers[1].image}", "log:2"),
        ("{.metadata.annotations['example.com/team']}", "a\ufffd[2Jb"),
        ("{.status.phase}", ""),
        ("name={.metadata.name}!", "name=web!"),
        ("{.spec.template.spec.containers[0]}", '{"image":"web:1"}'),
    ],
)
def test_jsonpath(template: str, line: str) -> None:
    """Paths, indices and quoted keys; control characters are shown as text."""
    assert jsonpath_format(template)("ADDED", DEPLOYMENT) == line


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "jsonpath: an expression is empty: write a path such as {.metadata.name}"),
        ("{", "jsonpath='{' is malformed: an expression looks like {.metadata.name}"),
        ("{.a}{", "jsonpath='{.a}{' is malformed: an expression looks like {.metadata.name}"),
        ("{.a[*]}", "jsonpath: {.a[*]} is not supported: use paths such as {.spec.containers[0].image}"),
        ("{range .a}", "jsonpath: {range .a} is not supported: use paths such as {.spec.containers[0].image}"),
        ('{"\\x"}', 'jsonpath: "\\x" is not a quoted text: Invalid \\escape'),
    ],
)
def test_malformed_jsonpath_is_refused(template: str, message: str) -> None:
    """With an error that shows what a template looks like."""
    with pytest.raises(CommandError, match=re.escape(message)):
        jsonpath_format(template)


def test_fields() -> None:
    """Values at paths; a missing one is "<none>"."""
    paths = fields_of("spec.replicas, status.phase")
    assert field_cells(paths, DEPLOYMENT) == ["3", "<none>"]
    with pytest.raises(CommandError, match=r"--fields: 'spec\.\.x' is not a path such as spec\.nodeName"):
        fields_of("spec..x")


def test_whole_objects() -> None:
    """JSON and YAML have the event's type and the whole object; a name has kind and group."""
    event = {"type": "ADDED", "object": OBJECT}
    assert json.loads(json_line("ADDED", DEPLOYMENT)) == event
    assert yaml.safe_load(yaml_document("ADDED", DEPLOYMENT)) == event
    assert name_line("DELETED", DEPLOYMENT) == "DELETED  deployment.apps/web"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-5, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (3600, "60m"), (10_800, "3h"), (11_000, "3h3m")),
        *((90_000, "25h"), (172_800, "2d"), (180_000, "2d2h"), (864_000, "10d"), (63_072_000, "2y")),
        (70_000_000, "2y80d"),
    ],
)
def test_ages_are_those_of_kubectl(seconds: int, text: str) -> None:
    """As apimachinery's HumanDuration writes them."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert age(now - timedelta(seconds=seconds), now) == text
