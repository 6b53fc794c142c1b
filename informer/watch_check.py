"""Refuses another module named `watch`, such as a script of the user's, with an error that names its file.

A file `watch.py` beside a program hides this distribution's package `watch`, because Python searches the program's folder
first. Without this check, the import fails with "'watch' is not a package". The check runs when a public name or sub-package
is first used. It does not run when `informer` is imported: pytest imports it in every test run, also in a project that has its
own `watch.py`.

It also refuses another distribution's `informer/__init__.py`, installed over this one's, which leaves the sub-packages. A
user's own `informer.py` cannot be noticed: Python then runs nothing of this distribution.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def check_informer_package() -> None:
    """Raises an ImportError if the package `informer` that was imported is another distribution's.

    Raises:
        ImportError: another distribution has replaced this one's `informer/__init__.py`.
    """
    found = sys.modules["informer"]
    if hasattr(found, "_MODULE_OF"):  # this distribution's has it
        return
    from importlib.metadata import packages_distributions

    others = [name for name in packages_distributions().get("informer", ()) if name != "kube-informer"]
    which = f"the distribution {others[0]}" if others else "another distribution"
    file = getattr(found, "__file__", None)
    raise ImportError(
        f"kube-informer needs its own package 'informer', but {which} has replaced {file}: uninstall that distribution, "
        "then run pip install --force-reinstall kube-informer",
        name="informer",
        path=file,
    )


def check_watch_package() -> None:
    """Raises an ImportError if Python finds another module `watch` than this distribution's package; runs neither.

    Raises:
        ImportError: another file or folder named `watch` hides the package.
    """
    folders: tuple[str, ...] = ()
    try:
        spec = find_spec("watch")
    except ValueError:  # a module without a spec was put into sys.modules
        file = getattr(sys.modules["watch"], "__file__", None)
    else:
        if spec is None:  # the import itself says so best
            return
        file, folders = spec.origin, tuple(spec.submodule_search_locations or ())
    if file is not None and os.path.dirname(os.path.dirname(os.path.abspath(file))) == _FOLDER:
        return
    # Installed elsewhere than `informer`, as some packagers do.
    if any(os.path.isfile(os.path.join(folder, "stream_watcher.py")) for folder in folders):
        return
    found = file or ", ".join(folders) or "a module without a file"
    raise ImportError(
        f"kube-informer needs its own package 'watch', but Python finds {found} in its place: "
        "rename that file or folder, so that it does not hide the package",
        name="watch",
        path=file,
    )


check_informer_package()
check_watch_package()
