"""What the documents show is run: examples in docstrings, and the README's Python."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import informer
import watch
from informer.testing import EmbeddedAPIServer

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    module.name
    for package in (watch, informer)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    if module.name != "informer.testing.pytest_plugin"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    """Every example in a docstring gives what it says."""
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language in the README, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(code: str, embedded_apiserver: EmbeddedAPIServer, tmp_path: Path, *command: str) -> None:
    """Runs Python of the README in a process of its own, with a kubeconfig for the embedded server."""
    kubeconfig = tmp_path / "kubeconfig"
    embedded_apiserver.kubeconfig(kubeconfig)
    script = tmp_path / "test_readme_code.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *command, str(script)],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_code_runs(embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> None:
    """The README's Python, from top to bottom as one program, runs against an API server without an error."""
    embedded_apiserver.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"nodeName": "worker-1", "containers": [{"name": "app", "image": "app:1.0"}]},
        }
    )
    code = "\n".join(block for block in blocks("python") if "def test_" not in block)
    assert "SharedInformer(" in code
    run(code, embedded_apiserver, tmp_path)


def test_the_readme_tests_pass(embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> None:
    """The tests that the README shows pass, with the fixtures that installing the project brings."""
    code = "\n".join(block for block in blocks("python") if "def test_" in block)
    assert code
    run(code, embedded_apiserver, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_the_readme_begins_with_its_two_commands() -> None:
    """The first fenced `sh` block installs and runs the pod watcher, the second installs and runs the tests."""
    first, second, *_ = blocks("sh")
    assert ("samples/pod_watcher.py" in first, "pytest" in second) == (True, True)
    assert (first.count("\n"), second.count("\n")) == (1, 1)


PACKAGES = ("watch", "informer", "informer.workqueue", "informer.record", "informer.leaderelection", "informer.testing")


def names_here() -> list[str]:
    """Names of this project in the README's table of Go names: what its second and third columns have between backticks."""
    section = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .partition("## From client-go to Python")[2]
        .partition("\n## ")[0]
    )
    cells = [cell for line in section.splitlines() if line.startswith("| ") for cell in line.split(" | ")[1:]]
    # With a capital letter or an underscore: the rest are values, arguments and package names.
    return sorted(
        {name for cell in cells for name in re.findall(r"`(\w+(?:\.\w+)?)`", cell) if re.search("[A-Z_]", name)}
    )


def there(dotted: str) -> bool:
    """Whether a name, or an attribute of it, is in a package."""
    name, _, attribute = dotted.partition(".")
    found = [getattr(module, name) for module in map(importlib.import_module, PACKAGES) if name in module.__all__]
    return any(not attribute or hasattr(each, attribute) for each in found)


def test_each_name_that_stands_beside_a_go_name_exists() -> None:
    """Whoever comes from client-go can import it."""
    assert len(names_here()) > 50
    assert [name for name in names_here() if not there(name)] == []
