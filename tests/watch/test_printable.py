"""Text from outside, made fit for a log, a message or a terminal."""

from __future__ import annotations

import base64
import time
import tracemalloc

import pytest

from watch import ApiError
from watch.printable import hide_secret, printable, quoted_beginning, without_secrets

HOSTILE = {
    "newline": "web\n2026-11-28 INFO root logged in",
    "carriage-return": "web\rroot",
    "escape": "\x1b[2J\x1b]0;title\x07web",
    "c1": "\x9b2Jweb\x85",
    "null-and-delete": "\0web\x7f",
    "bidi": "\u202eweb\u202c \u2066a\u2069 \u200f\u061c",
    "separators": "web\u2028next\u2029next",
    "zero-width": "w\u200be\u200cb\u200d\u2060",
    "byte-order-mark": "\ufeffweb",
    "surrogate": "web\ud800\udfff",
    "tags": "web\U000e0041",
    "private-use": "web\ue000",
    "soft-hyphen": "we\u00adb",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_controls_are_replaced(text: str) -> None:
    """The result is one line that a terminal shows unchanged and that can be encoded in UTF-8."""
    for raw in (text, text.encode(errors="replace")):
        shown = printable(raw)
        assert shown.isprintable()
        assert shown.encode()
        assert "w" in shown


def test_ordinary_text_stays() -> None:
    """Names and messages of any language are not changed."""
    for text in ("web-1", 'pods "a" not found', "Zugriff verweigert: für Größe", "权限不足", ""):
        assert printable(text) == text


def test_a_long_text_is_cut_in_bounded_time_and_memory() -> None:
    """The part of a text that is not shown is not read."""
    for text in ("x" * 50_000_000, "\x1b" * 50_000_000, " " * 50_000_000, "\u0301\u202e" * 25_000_000):
        tracemalloc.start()
        begun = time.process_time()
        shown = printable(text, 1024)
        assert time.process_time() - begun < 0.5
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
        tracemalloc.stop()
        assert len(shown) <= 1024 + 3


@pytest.mark.parametrize("secret", ["tok-" + "Ab3_" * 10, "hunter2", "pass word!", "a/b+c=d&e?f"])
def test_a_secret_is_hidden(secret: str) -> None:
    """A secret is hidden wherever it occurs in a text, also in the form that it has in a URL."""
    import urllib.parse

    hide_secret(secret)
    for text in (
        f"Bearer {secret}",
        f"({secret})",
        f"?token={urllib.parse.quote(secret, safe='')}&x",
        f"{secret}\n{secret}",
    ):
        assert secret not in printable(text)
        assert secret not in without_secrets(text)
        assert urllib.parse.quote(secret, safe="") not in printable(text)
        assert "[redacted]" in printable(text)


def test_a_secret_at_the_place_of_the_cut_is_hidden() -> None:
    """A server cannot reveal a part of a secret by placing it where the text is cut."""
    secret = "tok-" + "Zz9." * 20
    hide_secret(secret)
    for most in (100, 200):
        for shift in (*range(most), *range(40 * most - 120, 40 * most + 120)):
            for filling in ("x", " "):
                for raw in (filling * shift + secret, (filling * shift + secret).encode()):
                    assert "tok-Zz9" not in printable(raw, most)
    assert "tok-Zz9" not in quoted_beginning(b"<" + b" " * 950 + secret.encode())


def test_a_part_of_a_word_is_not_hidden() -> None:
    """A password that is also a part of ordinary words does not make messages unreadable; a very short one is ignored."""
    hide_secret("forbid")
    hide_secret("to")
    assert printable("403 Forbidden: forbidden to you") == "403 Forbidden: forbidden to you"
    assert printable("password forbid") == "password [redacted]"


def test_the_newest_secrets_are_remembered() -> None:
    """Only the newest secrets are remembered, so rotated tokens do not fill the memory."""
    for number in range(1000):
        hide_secret(f"rotated-token-{number:06}")
    for number in (999, 998, 980):
        assert printable(f"rotated-token-{number:06}") == "[redacted]"
    assert printable("rotated-token-000000") == "rotated-token-000000"


def test_a_private_key_is_hidden() -> None:
    """A private key is hidden as PEM, as the base64 of a kubeconfig, and if its end is missing."""
    pem = f"-----BEGIN EC PRIVATE KEY-----\n{'QUJD' * 40}\n-----END EC PRIVATE KEY-----\n"
    for text in (pem, pem[:60], base64.b64encode(pem.encode()).decode(), f"a {pem} b"):
        assert "QUJD" not in printable(text, 1000)
        assert base64.b64encode(b"QUJD").decode()[:4] not in printable(text, 1000)
    begun = time.process_time()
    without_secrets("-----BEGIN PRIVATE KEY-----" * 100_000)
    without_secrets("-----BEGIN " * 100_000 + "PRIVATE KEY-----")
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_an_api_error_is_one_printable_line(text: str) -> None:
    """An error's text is printable, whatever reason and message the server sent."""
    error = ApiError(403, text, text)
    assert str(error).isprintable()
    for number in range(64):
        hide_secret(f"rotated-token-{number:06}")
    begun = time.process_time()
    assert len(str(ApiError(500, "x" * 10_000_000, "y" * 10_000_000))) < 1100
    assert time.process_time() - begun < 0.2


def test_an_api_error_does_not_repeat_a_credential() -> None:
    """The credential is not in the error's text, its repr or its attributes."""
    secret = "tok-" + "Qq1-" * 12
    hide_secret(secret)
    error = ApiError.from_status({"code": 401, "reason": f"Bad {secret}", "message": f"token {secret} is bad"})
    assert secret not in f"{error} {error!r} {error.message} {error.reason} {error.to_status()}"
