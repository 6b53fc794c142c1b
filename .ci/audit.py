"""Looks up known vulnerabilities of packages with pip-audit: those of this environment, and the oldest that are allowed.

Without an answer from the vulnerability service, the check is left out and the reason printed; with AUDIT_REQUIRED=1 in the
environment, that is a failure.
"""

import json
import os
import subprocess
import sys
from typing import NamedTuple

SECONDS = 180
OWN = "kube-informer"  # not on the index before its first release
CHECKS = {
    "this environment": ["--local"],
    "the oldest versions": ["--no-deps", "--disable-pip", "--requirement", ".ci/oldest.txt"],
}


class Outcome(NamedTuple):
    """The result of one check.

    Attributes:
        state: "passed", "failed", or "left out".
        text: what to print.
    """

    state: str
    text: str


def outcome_of(output: str, errors: str) -> Outcome:
    """Reads what pip-audit printed.

    Args:
        output: its standard output, in JSON.
        errors: its standard error.
    """
    try:
        found = json.loads(output)["dependencies"]
    except (ValueError, LookupError, TypeError):
        last = (errors.strip().splitlines() or ["it printed nothing"])[-1]
        return Outcome("left out", f"the vulnerability service cannot be reached: {last[:300]}")
    found = [each for each in found if each["name"] != OWN]
    unknown = [each["name"] for each in found if "skip_reason" in each]
    bad = [
        f"{each['name']} {each['version']}: {vulnerability['id']} (fixed in {', '.join(vulnerability['fix_versions']) or '?'})"
        for each in found
        for vulnerability in each.get("vulns", ())
    ]
    if bad:
        return Outcome("failed", "\n".join(bad))
    if len(unknown) == len(found):
        return Outcome("left out", f"the index knows none of {len(found)} packages: it has no vulnerability service")
    left = f"; no answer about {', '.join(unknown)}" if unknown else ""
    return Outcome("passed", f"{len(found) - len(unknown)} packages without known vulnerabilities{left}")


def check(arguments: list[str]) -> Outcome:
    """Runs pip-audit once."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--timeout=15", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Outcome("left out", f"the vulnerability service did not answer within {SECONDS} s")
    if done.returncode == 2 or "No module named pip_audit" in done.stderr:
        # Wrong arguments, or not installed: no fault of the network.
        return Outcome("failed", done.stderr.strip())
    return outcome_of(done.stdout, done.stderr)


def main() -> int:
    """Runs all checks; returns the exit code."""
    code = 0
    for name, arguments in CHECKS.items():
        outcome = check(arguments)
        print(f"{name}: {outcome.state}: {outcome.text}")  # noqa: T201
        if outcome.state == "failed" or (outcome.state == "left out" and os.environ.get("AUDIT_REQUIRED")):
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
