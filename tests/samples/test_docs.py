"""Runs the code of the documentation: the examples in docstrings, and the Python of the README and of docs/*.md."""

from __future__ import annotations

import ast
import builtins
import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest

import informer
import watch
from informer.testing import EmbeddedAPIServer

# Each program imports the official client, which takes seconds on a busy machine.
pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    module.name
    for package in (watch, informer)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    if module.name != "informer.testing.pytest_plugin"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    """Every example in a docstring gives the result that it shows."""
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def blocks(language: str, page: str = "README.md") -> list[str]:
    """Returns a page's fenced code blocks of a language, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(code: str, embedded_apiserver: EmbeddedAPIServer, tmp_path: Path, *command: str) -> None:
    """Runs Python of a page in another process, with a kubeconfig for the embedded server."""
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
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# The pages whose Python is one program each, beside tests.
PAGES = [
    "README.md",
    *sorted(
        str(path.relative_to(ROOT))
        for folder in ("docs", "docs/how-to")
        for path in (ROOT / folder).glob("*.md")
        # The others' programs run until they are told to stop, so they have tests of their own.
        if "```python" in path.read_text() and path.name not in ("first-controller.md", "hand-wired-controller.md")
    ),
]
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
    "spec": {"nodeName": "worker-1", "containers": [{"name": "app", "image": "app:1.0"}]},
}
# Runs the programs of all pages in one process, which imports the official client once.
RUNNER = """
import contextlib, io, json, runpy, sys, traceback

for page in sys.argv[1:]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            runpy.run_path(page)
            failed = False
        except BaseException:
            traceback.print_exc()
            failed = True
    print(json.dumps([page, failed, text.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def results_of_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bool, str]]:
    """For each page, whether its program failed, and what it printed."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "runner.py").write_text(RUNNER, encoding="utf-8")
    for page in PAGES:
        program = folder / page.replace("/", "_")
        program.write_text("\n".join(each for each in blocks("python", page) if "def test_" not in each))
    with EmbeddedAPIServer() as server:
        server.create(POD)
        server.kubeconfig(folder / "kubeconfig")
        done = subprocess.run(
            [sys.executable, "runner.py", *(page.replace("/", "_") for page in PAGES)],
            env={**os.environ, "KUBECONFIG": str(folder / "kubeconfig")},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=100,
        )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return {page: (failed, text + done.stderr) for page, failed, text in results}


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs(page: str, results_of_pages: dict[str, tuple[bool, str]]) -> None:
    """The Python of a page, joined into one program, runs against an API server without an error."""
    failed, text = results_of_pages.get(page.replace("/", "_"), (True, "the runner ended before this page"))
    assert not failed, text


@pytest.mark.parametrize("page", [page for page in PAGES if "def test_" in (ROOT / page).read_text(encoding="utf-8")])
def test_tests_of_a_page_pass(page: str, embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> None:
    """The tests on a page pass with the fixtures that installing the project provides."""
    code = "\n".join(block for block in blocks("python", page) if "def test_" in block)
    run(code, embedded_apiserver, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_readme_begins_with_two_commands() -> None:
    """The first `sh` block installs and runs the pod watcher, the second installs and runs the tests."""
    first, second, *_ = blocks("sh")
    assert ("samples/pod_watcher.py" in first, "pytest" in second) == (True, True)
    assert (first.count("\n"), second.count("\n")) == (1, 1)


def linked_files(page: str) -> list[str]:
    """Returns the files of this project that a page links to, by their address on the web or beside the page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    web = re.findall(
        r"https://(?:github\.com/kube-informer/kube-informer/(?:blob|tree)|raw\.githubusercontent\.com/kube-informer/kube-informer)"
        r"/main/([^)#\s]+)",
        text,
    )
    beside = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", text)
    return [*web, *(os.path.normpath(Path(page).parent / link) for link in beside)]


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "benchmarks/README.md"),
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
    ],
)
def test_links_lead_to_files(page: str) -> None:
    """Every file that a page links to exists."""
    assert [file for file in linked_files(page) if not (ROOT / file).exists()] == []


def test_the_readme_is_short_and_its_links_are_absolute() -> None:
    """At most 150 lines and 7 KB, and the package index can show it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (text.count("\n") <= 150, len(text.encode()) <= 7 * 1024) == (True, True)
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []


def test_the_picture_of_the_readme_is_what_the_command_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file has the text that `tools/terminal_picture.py` draws, and is small."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    picture = importlib.import_module("terminal_picture")
    address = "https://raw.githubusercontent.com/kube-informer/kube-informer/main/"
    assert f"({address}{picture.PICTURE.relative_to(ROOT)})" in (ROOT / "README.md").read_text(encoding="utf-8")
    stored = picture.PICTURE.read_text(encoding="utf-8")
    assert len(stored) < 40 * 1024
    drawn, texts = picture.draw(), re.compile("<text[^>]*>([^<]*)</text>")
    # Not the drawing itself, which depends on the version of rich.
    assert texts.findall(stored) == texts.findall(drawn), "run python tools/terminal_picture.py"
    assert "CrashLoopBackOff" in stored


PACKAGES = (
    "watch",
    "informer",
    "informer.workqueue",
    "informer.record",
    "informer.leaderelection",
    "informer.runtime",
    "informer.sharding",
    "informer.testing",
)


def names_for_client_go() -> list[str]:
    """Returns this project's names in the table of Go names: code in its second and third columns."""
    page = (ROOT / "docs" / "from-client-go.md").read_text(encoding="utf-8")
    cells = [cell for line in page.splitlines() if line.startswith("| ") for cell in line.split(" | ")[1:]]
    # Names with a capital letter or an underscore; the rest are values, arguments and packages.
    return sorted(
        {name for cell in cells for name in re.findall(r"`(\w+(?:\.\w+)?)`", cell) if re.search("[A-Z_]", name)}
    )


def exists(dotted: str) -> bool:
    """Returns whether a package has a name, or the name has an attribute."""
    name, _, attribute = dotted.partition(".")
    found = [getattr(module, name) for module in map(importlib.import_module, PACKAGES) if name in module.__all__]
    return any(not attribute or hasattr(each, attribute) for each in found)


def test_names_for_users_of_client_go_exist() -> None:
    """Every name that the page offers to users of client-go can be imported."""
    assert len(names_for_client_go()) > 50
    assert [name for name in names_for_client_go() if not exists(name)] == []


def examples(docstring: str) -> list[str]:
    """Returns the indented examples of a docstring, without those that doctest runs."""
    found: list[str] = []
    for before, paragraph in pairwise(docstring.split("\n\n")):
        if not all(line.startswith("    ") for line in paragraph.splitlines()):
            continue
        if found and found[-1].endswith(before):
            found[-1] += "\n\n" + paragraph
        elif not before.splitlines()[-1].startswith(" "):
            found.append(paragraph)
    return [textwrap.dedent(each) for each in found if ">>>" not in each]


def examples_of(module: str) -> list[str]:
    """Returns the examples in the docstrings of a module's classes and functions."""
    path = importlib.import_module(module).__file__
    assert path is not None
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))) if isinstance(node, kinds)]
    return [example for node in nodes for example in examples(ast.get_docstring(node) or "")]


# The types that an expression has in one example or another.
TYPES = {
    "broadcaster": ("Broadcaster",),
    "cache": ("MutationCache",),
    "change": ("Change",),
    "change.object": ("Object",),
    "channel": ("Channel",),
    "clock": ("FakeClock",),
    "consistency": ("ConsistencyStore",),
    "detector": ("MutationDetector",),
    "event": ("Event",),
    "factory": ("SharedInformerFactory",),
    "fake": ("FakeWatcher",),
    "indexer": ("Indexer",),
    "informer": ("SharedInformer",),
    "informer.aio": ("AsyncInformer",),
    "informer.lister": ("Lister",),
    "nodes": ("SharedInformer",),
    "pod": ("Object",),
    "pods": ("SharedInformer", "AsyncInformer", "ObjectList"),
    "pods.lister": ("Lister",),
    "registration": ("HandlerRegistration",),
    "store": ("Store",),
    "watcher": ("Watcher",),
}


def unknown_names(example: str) -> list[str]:
    """Returns the capitalised names that no public package has, and the attributes that their objects do not have."""
    tree = compile(example, "example", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    nodes = [*ast.walk(tree)]
    own = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    unknown = [
        node.id
        for node in nodes
        if isinstance(node, ast.Name)
        and node.id[0].isupper()
        and not (node.id in own or hasattr(builtins, node.id) or exists(node.id))
    ]
    for node in nodes:
        if not isinstance(node, ast.Attribute):
            continue
        owner = ast.unparse(node.value)
        types = (owner,) if owner.isidentifier() and owner[0].isupper() else TYPES.get(owner, ())
        if not types or any(exists(f"{name}.{node.attr}") for name in types):
            continue
        # `informer` is the package in some examples.
        if owner != "informer" or not hasattr(informer, node.attr):
            unknown.append(f"{owner}.{node.attr}")
    return unknown


def test_examples_that_do_not_run_are_valid() -> None:
    """Each other example in a docstring is valid Python, and what it uses of this project exists."""
    found = [example for module in MODULES for example in examples_of(module)]
    assert len(found) > 30
    assert any("informer.events() as changes" in example for example in found)
    unknown = {example: unknown_names(example) for example in found}
    assert {example: names for example, names in unknown.items() if names} == {}
