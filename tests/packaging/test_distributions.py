"""Installs the wheel and the sdist into clean environments of each supported Python, and uses what is there.

`.ci/run` names the folder with both in KUBE_INFORMER_DISTRIBUTIONS; without it, these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

FOLDER = os.environ.get("KUBE_INFORMER_DISTRIBUTIONS")
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="KUBE_INFORMER_DISTRIBUTIONS does not name a folder"),
    pytest.mark.timeout(300),
]
PYTHONS = ("3.11", "3.12", "3.13")

# Reads every public name, to notice a dependency that only developers have. Then an informer follows the embedded server.
PROGRAM = """
import importlib

import informer
import watch
from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer

needs_extra = {"metrics"}
for package in (informer, watch):
    for name in dir(package):
        if name not in needs_extra:
            getattr(package, name)
for name in ("leaderelection", "record", "runtime", "workqueue", "testing"):
    module = importlib.import_module(f"informer.{name}")
    for each in module.__all__:
        getattr(module, each)
with EmbeddedAPIServer() as server, server.api_client() as api_client:
    server.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}})
    pods = SharedInformer(ListWatch.for_resource(api_client, "pods"))
    with pods:
        assert pods.wait_for_sync(timeout=20), pods.sync_error()
        print(informer.__version__, pods.store.list_keys())
"""


def distribution(pattern: str) -> Path:
    (found,) = Path(FOLDER or "").resolve().glob(pattern)
    return found


def python(version: str) -> str:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(str(path) for path in root.glob(f"versions/{version}.*/bin/python"))
    program = found[-1] if found else shutil.which(f"python{version}")
    if program is None:
        pytest.skip(f"Python {version} is not installed")
    return program


def run(*command: str | Path, cwd: Path) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("version", "pattern"), [*((version, "*.whl") for version in PYTHONS), (PYTHONS[-1], "*.tar.gz")]
)
def test_a_clean_environment_has_what_it_needs(version: str, pattern: str, tmp_path: Path) -> None:
    """Every public name can be imported with the declared dependencies alone, and an informer runs."""
    run(python(version), "-m", "venv", "env", cwd=tmp_path)
    installed = tmp_path / "env" / "bin" / "python"
    run(installed, "-m", "pip", "install", "--quiet", distribution(pattern), cwd=tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    version_text = distribution("*.tar.gz").name.removeprefix("kube_informer-").removesuffix(".tar.gz")
    assert run(installed, "program.py", cwd=tmp_path).strip() == f"{version_text} ['default/web']"


def test_the_sdist_holds_everything_that_the_project_needs() -> None:
    """Sources, tests, documentation and CI, and nothing of a virtual environment."""
    with tarfile.open(distribution("*.tar.gz")) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    top = {path.parts[0] for path in names if path.parts}
    assert {"informer", "watch", "tests", "samples", "docs", "benchmarks", "LICENSE", ".ci", "pyproject.toml"} <= top
    assert Path("tests/packaging/test_distributions.py") in names
    assert not [path for path in names if "site-packages" in path.parts or "__pycache__" in path.parts]
