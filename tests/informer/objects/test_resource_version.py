"""The order of resourceVersions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer.objects.resource_version import compare_resource_versions, is_comparable


@given(st.integers(1, 10**30), st.integers(1, 10**30))
def test_versions_compare_as_numbers(one: int, other: int) -> None:
    """KEP-5504. Comparing by length and then by text equals comparing by number."""
    expected = (one > other) - (one < other)
    result = compare_resource_versions(str(one), str(other))
    assert (result > 0) - (result < 0) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "0x1", "abc", "1_0", "\u0661", "\u00b2", "1\n"], ids=repr
)
def test_other_text_is_not_comparable(text: str) -> None:
    """KEP-5504. Only ASCII digits, no leading zero, and not "0"."""
    assert not is_comparable(text)
    for pair in ((text, "5"), ("5", text)):
        with pytest.raises(ValueError, match="not a comparable resourceVersion"):
            compare_resource_versions(*pair)


@pytest.mark.parametrize("value", [None, 5, b"5"], ids=repr)
def test_other_types_are_refused(value: Any) -> None:
    """The message quotes the value."""
    with pytest.raises(ValueError, match="not a comparable resourceVersion"):
        compare_resource_versions(value, "5")
