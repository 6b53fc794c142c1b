"""What an attacker writes: the strings of a tenant, and the numbers, versions, tokens and nesting of a server."""

from __future__ import annotations

import json

__all__ = ["HOSTILE_JSON", "HOSTILE_TEXTS"]

# As many as the standard library reads, with which the fuzzers compare. Deeper ones: tests/watch/test_deep_json.py.
_LEVELS = 300

HOSTILE_TEXTS = (
    *(
        "",
        " ",
        "a\nb",
        "a\r\nINFO forged",
        "\x00",
        "\x1b[2J\x1b[31m",
        "\x9b31m",
        "\u202eb\u2066",
        "\u200b\u2028\u2029\ufeff",
    ),
    *("[/foo]", "[bold]", "%s%n", "{0}", "../../secrets?x=", "kube-system/victim", "a%2Fb", "\\", '"', '"},{"', "}]}"),
    *(
        '"items":[',
        '{"type":"DELETED","object":{}}',
        "k8s.io/initial-events-end",
        "\u0430",
        "\uff41",
        "e\u0301",
        "😀",
        "n" * 2_000,
    ),
)
"""Strings for everything that a tenant can write: names, labels, values, messages, owner references."""

HOSTILE_JSON = (
    *(json.dumps(text).encode() for text in HOSTILE_TEXTS),
    *(json.dumps(text, ensure_ascii=False).encode() for text in HOSTILE_TEXTS),
    *(b"1" * 400, b"-0", b"1e-999", b"9223372036854775808", b'"0"', b'"05"', b'"-1"', b'"18446744073709551616"'),
    *(b"[" * _LEVELS + b"]" * _LEVELS, b'{"a":' * _LEVELS + b"1" + b"}" * _LEVELS),
)
"""Whole JSON values, valid each: the texts with and without escapes, numbers, versions, and nesting."""
