"""Finds wording that is hard to understand, in comments, docstrings, messages and pages. Exits with 1 if it finds any.

Usage: python .ci/plain_english.py [PATH ...]    (default: everything that git tracks)
"""

import re
import subprocess
import sys
from pathlib import Path

ADVICE = {
    r"see the module\b": "a docstring stands on its own",
    r"\bcomes in:": "say what the function does",
    r"\bgoes out:": "say what the function does",
    # "nobody" in quotes is the name of a user.
    r"(?<!\")\bnobody\b(?!\")": "name the actor: no caller, no thread, no handler",
    r"\bsomebody\b": "name the actor",
    r"\bwhoever\b": "name the actor: the caller, the thread that ...",
    r"\bthose who\b": "name the actor",
    r"\bwho asks\b": "name the actor: the caller",
    r"\bso many\b": "give the number and its unit: at most `timeout` seconds",
    r"\bis no [a-z]+": "is not a ...",
    r"\bin words\b": "say what is reported",
}
PATTERN = re.compile("|".join(f"({pattern})" for pattern in ADVICE), re.IGNORECASE)


def main(paths: list[str]) -> int:
    """Prints each match with advice. Returns the exit code."""
    listed = subprocess.run(["git", "ls-files", "--", *paths], capture_output=True, text=True, check=True)  # noqa: S603, S607
    found = 0
    for name in listed.stdout.splitlines():
        path = Path(name)
        if (
            path.suffix not in {".py", ".md", ".toml"} and path.parent.name != ".ci"
        ) or path.name == "plain_english.py":
            continue
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for match in PATTERN.finditer(line):
                advice = list(ADVICE.values())[(match.lastindex or 1) - 1]
                print(f"{name}:{number}: {match.group()!r}: {advice}")  # noqa: T201
                found += 1
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
