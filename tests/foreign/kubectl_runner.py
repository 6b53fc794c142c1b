"""Runs kubectl as a user does, and makes what it prints comparable between two servers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

__all__ = ["Kubectl", "Outcome"]

_MANIFESTS = Path(__file__).parent / "manifests"
_SECONDS = 30
# What differs by nature, and what stands for it.
_REPLACED = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "<time>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}"), "<time>"),
    (re.compile(r"(?<=Server Version: v1\.37\.)\d+"), "<patch>"),
    (re.compile(r"\b10\.0\.0\.\d+\b"), "<address>"),
    (re.compile(r"\beyJ[\w.-]+"), "<token>"),
    (re.compile(r"https?://127\.0\.0\.1:\d+"), "<server>"),
    (re.compile(r"(?<=resourceVersion: )\"\d+\""), "<version>"),
    (re.compile(r"(?<=\"resourceVersion\": )\"\d+\""), "<version>"),
    (re.compile(r"(?<=Resource Version: )\s*\d+"), "<version>"),
    (re.compile(r"/tmp/\S+"), "<path>"),
    (re.compile(r"(?m)(?<=\s)(\d+[smhdy]){1,2}(?=\s|$)"), "<age>"),
    # Columns are as wide as their widest cell.
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"(?m) $"), ""),
)


class Outcome(NamedTuple):
    """What a command did: its exit code and what it printed, made comparable."""

    code: int
    output: str
    errors: str


class Kubectl:
    """kubectl with a kubeconfig and a namespace.

    Args:
        program: the program's path.
        kubeconfig: a kubeconfig of the server.
        namespace: what commands act on; the same for both servers.
        folder: an empty folder for files.
    """

    def __init__(self, program: Path, kubeconfig: Path, namespace: str, folder: Path) -> None:
        self._program = program
        self._manifests = folder / "manifests"
        self._manifests.mkdir()
        for file in _MANIFESTS.iterdir():
            text = file.read_text().replace("NAMESPACE", namespace)
            (self._manifests / file.name).write_text(text)
        config = yaml.safe_load(kubeconfig.read_text())
        for context in config["contexts"]:
            context["context"]["namespace"] = namespace
        self._config = folder / "kubeconfig"
        self._config.write_text(yaml.safe_dump(config))
        self._namespace = namespace
        editor = folder / "editor"
        editor.write_text("#!/bin/sh\nexec sed -i 's/strategic/edited/; s/wood/gas/' \"$1\"\n")
        editor.chmod(0o755)
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        self._environment = {
            **kept,
            "KUBECONFIG": str(self._config),
            "HOME": str(folder),
            "EDITOR": str(editor),
            "KUBECTL_EXTERNAL_DIFF": f"{shutil.which('diff')} -u",
            "TZ": "UTC",
        }

    def __call__(self, step: str) -> Outcome:
        """Runs one command, such as "get pods"; "@" stands for the folder of the manifests."""
        words = [self._filled(word) for word in step.split()]
        done = subprocess.run(
            [self._program, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return Outcome(done.returncode, self._comparable(done.stdout), self._comparable(done.stderr))

    def run(self, steps: Iterable[str]) -> list[Outcome]:
        """Runs commands, one after the other; one that begins with "until" is repeated until it succeeds."""
        return [self._until_it_succeeds(step) if step.startswith("until ") else self(step) for step in steps]

    def _until_it_succeeds(self, step: str) -> Outcome:
        deadline = time.monotonic() + _SECONDS
        while (outcome := self(step.removeprefix("until "))).code and time.monotonic() < deadline:
            pass
        return outcome

    def _filled(self, word: str) -> str:
        word = word.replace("NAMESPACE", self._namespace)
        return f"{self._manifests}/{word[1:]}" if word.startswith("@") else word

    def _comparable(self, text: str) -> str:
        text = text.replace(str(self._manifests), "@")
        for pattern, replacement in _REPLACED:
            text = pattern.sub(replacement, text)
        return text.strip()
