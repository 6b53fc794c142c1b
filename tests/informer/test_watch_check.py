"""A user's own module named `watch`, which hides this distribution's package."""

from __future__ import annotations

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
