"""Which of two resourceVersions is the newer one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer.objects.resource_version import compare_resource_versions, is_comparable


@given(st.integers(1, 10**30), st.integers(1, 10**30))
def test_versions_compare_as_the_numbers_they_are(one: int, other: int) -> None:
    """KEP-5504. By length and then by text, which is by number."""
    expected = (one > other) - (one < other)
    result = compare_resource_versions(str(one), str(other))
    assert (result > 0) - (result < 0) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "0x1", "abc", "1_0", "\u0661", "\u00b2", "1\n"], ids=repr
)
def test_what_is_no_number_of_a_server_is_not_comparable(text: str) -> None:
    """KEP-5504. No leading zero, not "0", nothing but ASCII digits."""
    assert not is_comparable(text)
    for pair in ((text, "5"), ("5", text)):
        with pytest.raises(ValueError, match="not a comparable resourceVersion"):
            compare_resource_versions(*pair)


@pytest.mark.parametrize("value", [None, 5, b"5"], ids=repr)
def test_what_is_no_text_is_refused(value: Any) -> None:
    """The message has the value."""
    with pytest.raises(ValueError, match="not a comparable resourceVersion"):
        compare_resource_versions(value, "5")
