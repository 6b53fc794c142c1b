"""A user's own module named `watch`, which hides this distribution's package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

IMPORTS = [
    "from informer import SharedInformer",
    "import informer; informer.Object",
    "import informer; informer.workqueue",
    "from informer.workqueue import WorkQueue",
    "from informer.record import EventBroadcaster",
    "from informer.leaderelection import LeaderElector",
    "from informer.metrics import install",
    "from informer.testing import EmbeddedAPIServer",
]
ROOT = Path(__file__).resolve().parents[2]
RENAME = "rename that file or folder, so that it does not hide the package"


def run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("code", IMPORTS)
def test_a_watch_module_beside_the_program_is_named(tmp_path: Path, code: str) -> None:
    """Each public import raises an ImportError that names the file, and does not run it."""
    other = tmp_path / "watch.py"
    other.write_text("print('ran')\n")
    script = tmp_path / "program.py"
    script.write_text(f"{code}\n")
    done = run(script)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: kube-informer needs its own package 'watch', but Python finds "), done.stderr
    assert str(other) in last
    assert last.endswith(RENAME)
    assert "ran" not in done.stdout


def test_a_program_named_watch_is_named(tmp_path: Path) -> None:
    """A program `watch.py` that imports an informer hides the package with itself."""
    script = tmp_path / "watch.py"
    script.write_text("from informer import SharedInformer\n")
    done = run(script)
    assert f"Python finds {script} in its place: {RENAME}" in done.stderr


@pytest.mark.parametrize("files", [["watch/__init__.py"], ["watch/other.py"]], ids=["a package", "a plain folder"])
def test_a_folder_named_watch(tmp_path: Path, files: list[str]) -> None:
    """A package of that name is named as well; a folder without `__init__.py` hides nothing and is ignored."""
    for name in files:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    script = tmp_path / "program.py"
    script.write_text("from informer import SharedInformer\n")
    done = run(script)
    if files == ["watch/__init__.py"]:
        assert f"Python finds {tmp_path / files[0]} in its place" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "how", ["types.ModuleType('watch')", "types.SimpleNamespace(__spec__=None, __file__='/own/watch.py')"]
)
def test_a_watch_module_that_was_imported_before(tmp_path: Path, how: str) -> None:
    """A module that is already loaded is refused too, also if it was made by hand."""
    script = tmp_path / "program.py"
    script.write_text(f"import sys, types\nsys.modules['watch'] = {how}\nfrom informer import SharedInformer\n")
    done = run(script)
    assert "kube-informer needs its own package 'watch'" in done.stderr
    assert RENAME in done.stderr


def test_importing_the_pytest_plugin_does_not_fail(tmp_path: Path) -> None:
    """A project with its own `watch.py` runs its tests, although installing kube-informer registers a plugin."""
    (tmp_path / "watch.py").write_text("own = 1\n")
    (tmp_path / "test_own.py").write_text("import watch\n\n\ndef test_own():\n    assert watch.own == 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def replaced(tmp_path: Path) -> Path:
    """A folder with this project's packages, over which another distribution was installed."""
    site = tmp_path / "site"
    for package in ("watch", "informer"):
        shutil.copytree(ROOT / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    (site / "informer" / "__init__.py").write_text("class Informer: ...\n")
    metadata = site / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("informer/__init__.py,,\n")
    return site


@pytest.mark.parametrize("code", [line for line in IMPORTS if line.startswith("from informer.")])
def test_another_distribution_over_this_one_is_named(replaced: Path, code: str) -> None:
    """Each sub-package says which distribution has replaced `informer/__init__.py`, and what to do."""
    script = replaced / "program.py"
    script.write_text(f"{code}\n")
    last = run(script).stderr.strip().splitlines()[-1]
    file = replaced / "informer" / "__init__.py"
    assert last == (
        f"ImportError: kube-informer needs its own package 'informer', but the distribution stranger has replaced {file}: "
        "uninstall that distribution, then run pip install --force-reinstall kube-informer"
    )


def test_the_command_line_says_so_in_one_line(replaced: Path, tmp_path: Path) -> None:
    """For another distribution over this one, and for a module `watch` in PYTHONPATH."""
    command = [sys.executable, "-m", "informer", "--version"]
    done = subprocess.run(command, cwd=replaced, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: kube-informer needs its own package 'informer', but ")
    other = tmp_path / "other"
    other.mkdir()
    (other / "watch.py").write_text("")
    done = subprocess.run(command, cwd=other, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"Python finds {other / 'watch.py'} in its place: {RENAME}" in done.stderr


def test_a_users_own_informer_is_named_by_python(tmp_path: Path) -> None:
    """Nothing of this distribution runs then: the page of errors quotes what Python says."""
    own = tmp_path / "informer.py"
    own.write_text("own = 1\n")
    for code, text in [
        ("from informer import SharedInformer", f"cannot import name 'SharedInformer' from 'informer' ({own}"),
        ("import informer.workqueue", "No module named 'informer.workqueue'; 'informer' is not a package"),
    ]:
        (tmp_path / "program.py").write_text(code)
        errors = run(tmp_path / "program.py").stderr
        assert text in errors or ("rename" in errors and str(own) in errors), errors
