"""Label selectors: the API server's grammar, its meaning, and errors that say what is wrong."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer.objects.label_selector import (
    NOTHING,
    LabelSelector,
    Requirement,
    field_selector_text,
    parse_selector,
    selector_text,
)

LABELS = {"app": "web", "tier": "db", "empty": "", "size": "10", "negative": "-3", "in": "in", "example.com/x": "1"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        # equality
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=web", False),
        ("app!=db", True),
        ("missing=web", False),
        ("missing!=web", True),
        ("example.com/x=1", True),
        ("example.com/x=2", False),
        # sets
        ("app in (web)", True),
        ("app in (db,web)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("app notin (web,db)", False),
        ("missing in (web)", False),
        ("missing notin (web)", True),
        # existence
        ("app", True),
        ("missing", False),
        ("!app", False),
        ("!missing", True),
        ("empty", True),
        ("!empty", False),
        # empty values
        ("empty=", True),
        ("app=", False),
        ("missing=", False),
        ("empty!=", False),
        ("empty in ()", True),
        ("app in ()", False),
        ("empty in (a,)", True),
        ("empty in (,a)", True),
        ("empty in (a,,b)", True),
        ("empty in (a,b)", False),
        ("app=,tier=db", False),
        ("empty=,tier=db", True),
        # numbers
        ("size>9", True),
        ("size>10", False),
        ("size<11", True),
        ("size<10", False),
        ("size>09", True),
        ("negative<0", True),
        ("negative>0", False),
        ("app>1", False),
        ("app<1", False),
        ("missing>1", False),
        ("missing<1", False),
        ("empty>1", False),
        # all of several
        ("app=web,tier=db", True),
        ("app=web,tier=web", False),
        ("app in (web,db),tier notin (web),!missing,size>5,size<50", True),
        # words that are operators elsewhere
        ("in", True),
        ("in=in", True),
        ("in in (in)", True),
        ("in notin (notin)", True),
        ("!in", False),
        ("notin", False),
    ],
)
def test_what_a_selector_matches(selector: str, matches: bool) -> None:
    """Each operator has the API server's meaning."""
    assert parse_selector(selector).matches(LABELS) is matches


@pytest.mark.parametrize(
    "selector",
    [
        " app=web,tier in (db,x),!missing ",
        "app = web , tier in ( db , x ) , ! missing",
        "app=web,tier in(db,x),!missing",
        "\tapp\n==\r\nweb,tier  in\t(db\n,x)\n,!missing\n",
    ],
    ids=["around", "between", "none before a bracket", "tabs and new lines"],
)
def test_white_space_is_allowed_between_tokens(selector: str) -> None:
    """Between any two words and operators."""
    assert parse_selector(selector).requirements == (
        Requirement("app", "in", frozenset({"web"})),
        Requirement("tier", "in", frozenset({"db", "x"})),
        Requirement("missing", "!exists"),
    )


@pytest.mark.parametrize(
    "selector",
    [None, "", "   ", "\t\n", {}, LabelSelector()],
    ids=lambda selector: repr(selector).partition(" object at")[0],
)
def test_an_empty_selector_matches_everything(selector: Any) -> None:
    """Objects without labels too."""
    parsed = parse_selector(selector)
    assert parsed.everything
    assert parsed.matches({})
    assert parsed.matches(LABELS)


def test_nothing_matches_no_object() -> None:
    """client-go source. NOTHING does not match even an object without labels."""
    assert parse_selector(NOTHING) is NOTHING
    assert not NOTHING.everything
    assert not NOTHING.matches({})
    assert not NOTHING.matches(LABELS)


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        (",", "a label key expected, not ','"),
        ("app=web,", "a label key expected at its end"),
        (",app=web", "a label key expected, not ','"),
        ("app=web,,tier", "a label key expected, not ','"),
        ("!", "a label key expected at its end"),
        ("!!app", "a label key expected, not '!'"),
        ("!app=web", "',' or the end expected, not '='"),
        ("=web", "a label key expected, not '='"),
        ("app web", r"an operator \(=, ==, !=, in, notin, > or <\) expected after 'app', not 'web'"),
        ("app In (web)", "an operator .* expected after 'app', not 'In'"),
        ("app!web", "an operator .* expected after 'app', not '!'"),
        ("app=web db", "',' or the end expected, not 'db'"),
        ("app=web=db", "',' or the end expected, not '='"),
        ("app===web", "a label value expected, not '='"),
        ("app=(web)", r"a label value expected, not '\('"),
        ("app in web", r"'\(' expected after in or notin"),
        ("app in", r"'\(' expected after in or notin"),
        ("app in (web", r"',' or '\)' expected in a list of values, not 'the end'"),
        ("app in (", r"',' or '\)' expected in a list of values, not 'the end'"),
        ("app in (web db)", r"',' or '\)' expected in a list of values, not 'db'"),
        ("app in (web))", r"',' or the end expected, not '\)'"),
        ("app in ((web))", r"a label value expected, not '\('"),
        ("app>", "an integer expected after '>', not ''"),
        ("app>web", "an integer expected after '>', not 'web'"),
        ("app<1.5", "an integer expected after '<', not '1.5'"),
        ("app>9223372036854775808", "an integer expected after '>', not '9223372036854775808'"),
        ("app>1_0", "an integer expected after '>', not '1_0'"),
        ("app>=1", "a label value expected, not '='"),
        ("-app", "'-app' is not a label key"),
        ("app-=web", "'app-' is not a label key"),
        ("ap$p", r"'ap\$p' is not a label key"),
        ("x" * 64, "is not a label key"),
        ("/app", "'/app' is not a label key"),
        ("example.com/", "'example.com/' is not a label key"),
        ("a/b/c", "'a/b/c' is not a label key"),
        ("Example.com/app", "'Example.com/app' is not a label key"),
        ("a..b/app", "'a..b/app' is not a label key"),
        ("d" * 254 + "/app", "is not a label key"),
        ("app=-web", "'-web' is not a label value"),
        ("app=we$b", r"'we\$b' is not a label value"),
        ("app=" + "x" * 64, "is not a label value"),
        ("app in (ok,-bad)", "'-bad' is not a label value"),
        ("app=ä", "'ä' is not a label value"),
        ("app\u00a0=web", "is not a label key"),
        ('app="web"', "'\"web\"' is not a label value"),
    ],
)
def test_a_malformed_selector_raises(selector: str, problem: str) -> None:
    """The message quotes the selector and says what is wrong."""
    with pytest.raises(ValueError, match=f"cannot read the label selector .*{problem}") as caught:
        parse_selector(selector)
    assert repr(selector) in str(caught.value)


@pytest.mark.parametrize("key", ["x" * 63, "A.b_c-9", "a.b-c.d/x", "d" * 253 + "/x", "1"])
def test_keys_at_the_limits_are_accepted(key: str) -> None:
    """Every key that an API server accepts is accepted."""
    assert parse_selector(key).requirements == (Requirement(key, "exists"),)


def test_a_mapping_matches_equal_labels() -> None:
    """All of its labels must be present with their values."""
    for mapping in ({"app": "web", "empty": ""}, MappingProxyType({"app": "web", "empty": ""})):
        assert parse_selector(mapping).matches(LABELS)
    assert not parse_selector({"app": "web", "tier": "web"}).matches(LABELS)
    assert not parse_selector({"missing": ""}).matches(LABELS)


@pytest.mark.parametrize("mapping", [{"app": 5}, {"app": None}, {5: "x"}, {"matchLabels": {"app": "web"}}], ids=repr)
def test_a_mapping_must_have_strings(mapping: Any) -> None:
    """A number or a mapping as a value raises; it would silently match nothing."""
    with pytest.raises(TypeError, match="a mapping of labels must have strings"):
        parse_selector(mapping)


@pytest.mark.parametrize("mapping", [{"app=web": ""}, {"app": "we b"}, {"": "x"}], ids=repr)
def test_a_mapping_must_have_valid_labels(mapping: dict[str, str]) -> None:
    """Text that cannot be a label raises; it would silently match nothing."""
    with pytest.raises(ValueError, match="is not a valid label"):
        parse_selector(mapping)


@pytest.mark.parametrize("selector", [5, ["app=web"], b"app=web", True], ids=repr)
def test_another_type_is_refused(selector: Any) -> None:
    """The message says which types are accepted."""
    with pytest.raises(TypeError, match="a label selector is a string or a mapping of labels, not"):
        parse_selector(selector)


keys = st.sampled_from(["a", "b", "in", "x.y/z"])
words = st.sampled_from(["", "a", "b", "5", "in"])
labels = st.dictionaries(keys, st.sampled_from(["", "a", "b", "5", "-7", "12", "x" * 5000, "9" * 5000]), max_size=3)
requirements = st.one_of(
    st.tuples(keys, st.sampled_from(["exists", "!exists"])),
    st.tuples(keys, st.sampled_from(["in", "notin"]), st.frozensets(words, min_size=1)),
    st.tuples(keys, st.sampled_from([">", "<"]), st.just(frozenset()), st.integers(0, 20)),
).map(lambda parts: Requirement(*parts))


def written(requirement: Requirement) -> str:
    key, operator, values, bound = requirement
    if operator in ("in", "notin"):
        return f"{key} {operator} ({','.join(sorted(values))})"
    if operator in (">", "<"):
        return f"{key}{operator}{bound}"
    return f"{operator.removesuffix('exists')}{key}"


@given(st.lists(requirements, max_size=4), labels)
def test_a_written_selector_parses_to_its_requirements(wanted: list[Requirement], mine: dict[str, str]) -> None:
    """It matches when all of the requirements do."""
    parsed = parse_selector(",".join(map(written, wanted)))
    assert list(parsed.requirements) == wanted
    assert parsed.matches(mine) == all(requirement.matches(mine) for requirement in wanted)


@given(st.text("ab=!<>(), in", max_size=12))
def test_any_text_parses_or_raises_value_error(text: str) -> None:
    """Parsing the same text again gives the same result."""
    try:
        parsed = parse_selector(text)
    except ValueError:
        with pytest.raises(ValueError, match="cannot read"):
            parse_selector(text)
        return
    assert parse_selector(f" {text} ").requirements == parsed.requirements


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, ""),
        ("", ""),
        ("anything goes (", "anything goes ("),
        ({}, ""),
        ({"app": "web", "example.com/tier": ""}, "app=web,example.com/tier="),
        (
            parse_selector("a=b,c!=d,e in (g,f),h notin (i,j),!k,l,m>1,n<2"),
            "a=b,c!=d,e in (f,g),h notin (i,j),!k,l,m>1,n<2",
        ),
    ],
)
def test_selectors_are_sent_as_text(selector: Any, text: str) -> None:
    """Text is left to the server; mappings and parsed selectors are written in the server's syntax."""
    assert selector_text(selector) == text


@pytest.mark.parametrize(
    "text", ["a=b", "a!=b", "a in (b,c)", "a notin (,c)", "a=", "!a", "a", "a>1", "a<1", "a in ()", ""]
)
def test_a_selectors_text_parses_to_the_same(text: str) -> None:
    """`str` is the inverse of parsing."""
    parsed = parse_selector(text)
    assert parse_selector(str(parsed)).requirements == parsed.requirements


@pytest.mark.parametrize(
    ("selector", "error"), [(NOTHING, ValueError), ({"a": "b c"}, ValueError), ({"a": 1}, TypeError), (7, TypeError)]
)
def test_selectors_that_cannot_be_sent_are_refused(selector: Any, error: type[Exception]) -> None:
    """Before a request is made."""
    with pytest.raises(error):
        selector_text(selector)


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, ""),
        ("spec.nodeName!=a", "spec.nodeName!=a"),
        ({"spec.nodeName": "node-1", "metadata.name": "a,b=c\\"}, r"spec.nodeName=node-1,metadata.name=a\,b\=c\\"),
    ],
)
def test_field_selectors_are_sent_as_text(selector: Any, text: str) -> None:
    """A mapping's values are escaped as the server expects."""
    assert field_selector_text(selector) == text
    with pytest.raises(TypeError, match="a field selector is"):
        field_selector_text({"a": 1})  # type: ignore[dict-item]
