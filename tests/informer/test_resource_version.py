"""resourceVersions: which can be compared, and how."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer.resource_version import compare_resource_versions, is_comparable

NOT_COMPARABLE = ["", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "1e3", "abc", "1a", "٣", "²", None, 5, b"1"]


@pytest.mark.parametrize("version", NOT_COMPARABLE, ids=repr)
def test_what_no_server_gives_is_not_comparable(version: Any) -> None:
    """Only a decimal number above zero without a leading zero can be compared; the error shows what was given."""
    assert not is_comparable(version)
    for pair in ((version, "1"), ("1", version)):
        with pytest.raises(ValueError, match="not a comparable resourceVersion") as caught:
            compare_resource_versions(*pair)
        assert repr(version) in str(caught.value)


@given(st.integers(1, 10**40), st.integers(1, 10**40))
def test_they_compare_as_the_numbers_they_are(one: int, other: int) -> None:
    """Whatever their length: they are not bounded by 64 bits."""
    assert is_comparable(str(one))
    expected = (one > other) - (one < other)
    assert compare_resource_versions(str(one), str(other)) == expected
    assert compare_resource_versions(str(other), str(one)) == -expected
    assert compare_resource_versions(str(one), str(one)) == 0
