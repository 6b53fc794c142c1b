"""docs/errors.md lists the messages of both packages: no more than the code has, and no fewer.

The check reads the syntax trees. A message is what an error is made with, or what is logged at warning or above. Values in a
message are placeholders, so only its fixed text is compared. After adding or changing a message, edit the page.

Each message of the page has a test that provokes it. Such a test quotes the message: `tests/samples/errors` has tables of
messages in full, and tests beside the code quote theirs.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
FILES = sorted(path for package in ("watch", "informer") for path in (ROOT / package).rglob("*.py"))

# Messages that users do not meet, by their fixed text, with the reason.
LEFT_OUT = {
    "module <> has no attribute <>": "Python's own wording for a missing name",
    "module 'informer' has no attribute <>": "Python's own wording for a missing name",
    "this decoder only decodes batches": "between a decoder and its stream",
    "the stream was closed": "between a stream and its decoder, which ends",
    "the connection ended within the body": "between a stream and its decoder, which reports its own error",
    "the watch is continued as JSON": "between a decoder and its stream, which ends as if the server had closed it",
    "the reader of the channel was stopped": "between the threads of a stream",
    "no event came in time": "the time-out of next_batch, handled by the reader",
    "the request was cancelled: its owner has stopped": "ends a request of an informer that was stopped",
    "the call was cancelled": "ends a reconcile call when its queue shuts down",
    "the file is empty": "the reason in another message",
    "the deadline has passed": "the reason in another message",
    "an object cannot be written in protobuf, since a field is not of <>'s type": "logged by the embedded server: 500",
    "timerfd_create failed": "Linux refuses a timer: a plain wait is used",
    "timerfd_settime failed": "Linux refuses a timer: a plain wait is used",
    "a function to be called in a forked child failed: <>": "would be a fault of this library",
    "a callback of a stop event failed": "would be a fault of this library",
    "no address for <>": "the reason in another message",
    "its controller is in another shard": "stands for a deletion within an informer",
    "the controller is stopping": "between a controller and its queue",
    "the caches do not show the last writes yet": "between a controller and its queue",
    "the object has changed: <>": "between a controller and its queue",
    "the object was deleted meanwhile: <>": "between a controller and its queue",
    "network address parse error during conversion from string: <>": "the reason in a refusal of the embedded server",
    "no such overload": "the reason in a refusal of the embedded server",
    "<> is not an object": "the reason in a refusal of the embedded server",
    "cannot convert value to integer": "the reason in a refusal of the embedded server",
    "unable to parse <> as duration": "between a format and its check",
    "<> is not a time": "between a format and its check",
    "<> is not an entry of managedFields": "managedFields that a client sends and the embedded server ignores",
    "element <>: associative list with keys has an element without key fields": "the reason in a refusal of the embedded server",  # noqa: E501
    "a set of fields must be an object": "the reason in a refusal of the embedded server",
    "missing colon: <>": "the reason in a refusal of the embedded server",
    "element <>: associative list without keys has an element that's a map type": "the reason in a refusal of the embedded server",  # noqa: E501
    "the embedded server did not start": "would be a fault of this library",
    "<> of <> events within <> s": "the end of a measuring process, which `informer bench` reports",
    "a fault has cut the connection": "within the test kit, which then closes the connection",
}
# The embedded server answers with a real API server's words, which are not this library's to explain.
_SERVERS = (
    "informer/testing/admission/",
    "informer/testing/controllers/",
    "informer/testing/server/",
    "informer/testing/storage/",
    "informer/testing/listwatch/",
    "informer/testing/http/",
)
_LOG_METHODS = {"warning", "error", "exception", "critical", "log"}
_PLACEHOLDER = re.compile(r"%(?:\.\d+)?[srdfg]|<[^<>]*>")


class Message(NamedTuple):
    """A message in the code: where it is, and its text with `<>` for each value."""

    where: str
    text: str


def text_of(node: ast.expr) -> str | None:
    """Returns the text of a string expression, with `<>` for each value; None for any other expression."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "<>" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is right is None else ("<>" if left is None else left) + ("<>" if right is None else right)
    return None


def normal(text: str) -> str:
    """Returns a message with `<>` for each placeholder and single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"(<>)+", "<>", _PLACEHOLDER.sub("<>", text)))


def says_something(text: str) -> bool:
    """Whether a text has two words of its own: others are names, codes or placeholders only."""
    return len(re.findall(r"[A-Za-z']{2,}", text.replace("<>", " "))) >= 2 and " " in text


def is_message(node: ast.Call, raised: bool) -> bool:
    """Whether a call makes an error, or logs at warning or above."""
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if raised or name.endswith(("Error", "Exception")) or ast.unparse(called) == "super().__init__":
        return True
    logger = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
    return name in _LOG_METHODS and bool(re.search(r"(^|[._])(log|limited|logger)$", logger))


def messages(path: Path) -> Iterator[Message]:
    """Yields the messages of a file."""
    name = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    raised = {id(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not is_message(node, id(node) in raised):
            continue
        if name.startswith(_SERVERS) and ast.unparse(node.func) not in ("ValueError", "TypeError", "ImportError"):
            continue
        for argument in node.args:
            text = normal(text_of(argument) or "")
            if says_something(text):
                yield Message(f"{name}:{node.lineno}", text)


def texts(path: Path) -> Iterator[str]:
    """Yields every string of a file but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and id(node) not in docstrings and (text := text_of(node)):
            yield normal(text)


def pattern(text: str) -> re.Pattern[str]:
    """Matches what a message can look like: anything in place of each value, and after a colon at the end."""
    whole = normal(text) + ("<>" if text.endswith(": ") else "")
    return re.compile(".*".join(re.escape(part) for part in whole.split("<>")), re.DOTALL)


def page_messages() -> list[str]:
    """Returns the messages of the page: the code in the first column of its tables, without table heads."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", row)[1].replace("\\|", "|") for row in rows]
    spans = [span for cell in cells for span in re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", cell)]
    return [text.strip() for _, text in spans]


def runs(message: str) -> set[str]:
    """Returns all runs of four words in the fixed text of a message."""
    parts = [part.split() for part in normal(message).split("<>")]
    return {" ".join(words[at : at + 4]) for words in parts for at in range(len(words) - 3)}


def is_quoted(message: str, strings: str) -> bool:
    """Whether tests quote a message: four words in a row that no other message has, or else all its words.

    Args:
        message: a message of the page.
        strings: the strings of the tests, one per line.
    """
    own = [run for run in runs(message) if RUNS[run] == 1]
    parts = [re.escape(part) for part in normal(message).split("<>") if part]
    return any(run in strings for run in own) or re.search(".{1,60}?".join(parts), strings) is not None


def quoted_strings() -> str:
    """Returns the strings of all other tests, one per line; the escapes of regular expressions are taken off."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    strings = {normal(re.sub(r"\\(.)", r"\1", text.replace(".*", "<>"))) for path in files for text in texts(path)}
    return "\n".join(strings)


ON_PAGE = page_messages()
RUNS = Counter(run for message in ON_PAGE for run in runs(message))


@functools.cache
def in_code() -> list[Message]:
    """Returns the messages of both packages. Not a constant: each process of a run would read all files to collect."""
    return [message for path in FILES for message in messages(path)]


def test_every_message_is_on_the_page() -> None:
    """An error or warning that a user may meet is on the page, under its own words."""
    known = {normal(message) for message in ON_PAGE}
    missing = [
        f"{where}: {text}"
        for where, text in in_code()
        if text not in LEFT_OUT and text not in known and not any(pattern(text).fullmatch(each) for each in known)
    ]
    assert not missing, "add these to docs/errors.md, or to LEFT_OUT with a reason:\n" + "\n".join(missing)


def test_every_listed_message_is_in_the_code() -> None:
    """The page lists only what the code can say: at least half of the words stand in one string."""
    strings = {text for path in FILES for text in texts(path) if says_something(text)}
    patterns = [(len(text.replace("<>", "")), pattern(text)) for text in strings]

    def is_in_code(message: str) -> bool:
        text = normal(message)
        own = len(text.replace("<>", ""))
        return any(length * 2 >= own and each.fullmatch(text) for length, each in patterns)

    assert [message for message in ON_PAGE if not is_in_code(message)] == []


def test_every_message_has_a_cause_and_a_remedy() -> None:
    """Each row has three columns that say something, and no message is listed twice."""
    rows = [re.split(r"(?<!\\)\|", line) for line in PAGE.splitlines() if line.startswith("| `")]
    assert [row for row in rows if len(row) != 5 or not all(cell.strip() for cell in row[1:4])] == []
    assert sorted({each for each in ON_PAGE if ON_PAGE.count(each) > 1}) == []


def test_nothing_is_left_out_that_is_gone() -> None:
    """The exceptions are messages that the code still has."""
    assert [text for text in LEFT_OUT if text not in {text for _, text in in_code()}] == []


def test_a_test_provokes_every_message() -> None:
    """A test that provokes a message quotes it, to compare it with what was raised or logged."""
    strings = quoted_strings()
    assert [message for message in ON_PAGE if not is_quoted(message, strings)] == []
