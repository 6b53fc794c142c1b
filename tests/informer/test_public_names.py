"""The public names of `informer`, and what importing it must not load."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import informer

NAMES = """
Object strip_managed_fields index_by
meta_namespace_key deletion_handling_meta_namespace_key split_meta_namespace_key ExplicitKey DeletedFinalStateUnknown
Store Indexer NAMESPACE_INDEX meta_namespace_index ExpirationCache TTLStore MutationCache MutationDetector
DeltaType Delta Queue DeltaFIFO InOrderFIFO
ObjectList ListerWatcher ListWatch ListOptions Backoff Reflector Controller new_informer
ResourceEventHandler Change HandlerRegistration SharedInformer Snapshot
MultiClusterInformer ClusterKey ClusterObject EventStream Lister SharedInformerFactory
AsyncInformer AsyncEventStream AsyncRegistration
wait_for_cache_sync until_with_sync informer_watcher InformerWatcher stop_on_signals async_stop_on_signals ConsistencyStore
InformerError KeyFuncError IndexNotFoundError IndexConflictError IndexFuncError QueueClosedError NotFoundError ApiError
InformerForkedError KubeconfigError load_client current_namespace
""".split()  # noqa: SIM905 - one name a line would be a page

HEAVY = [
    "kubernetes",
    "yaml",
    "prometheus_client",
    "cryptography",
    "trustme",
    "jsonpatch",
    "jsonschema",
    "cel_expr_python",
    "pydantic",
    "requests",
    "pytest",
    "unittest",
    "asyncio",
]


def modules_after(code: str) -> list[str]:
    """Returns the modules that a fresh interpreter has loaded after it ran some code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


PACKAGES = ["leaderelection", "metrics", "record", "runtime", "sharding", "testing", "workqueue"]


def test_public_names() -> None:
    """No more and no fewer: adding a name is a decision, removing one breaks users."""
    assert sorted(informer.__all__) == sorted(NAMES)


def test_dir_lists_public_names_and_packages_only() -> None:
    """Completion in an editor or a shell shows what users are meant to use, and no imports or internal packages."""
    assert dir(informer) == sorted([*NAMES, *PACKAGES])


@pytest.mark.parametrize("name", PACKAGES)
def test_package_loads_on_attribute_access(name: str) -> None:
    """`import informer` is enough for `informer.workqueue.WorkQueue`."""
    assert f"informer.{name}" in modules_after(f"import informer; informer.{name}")
    assert f"informer.{name}" not in modules_after("import informer")


@pytest.mark.parametrize("name", NAMES)
def test_public_name_can_be_imported(name: str) -> None:
    """Each name can be imported, has a docstring, and is defined under the same name."""
    found: Any = getattr(informer, name)
    assert getattr(informer, name) is found
    if callable(found):
        assert found.__name__ == name
        assert found.__module__.partition(".")[0] in ("informer", "watch")
        assert found.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_no_module_hides_a_public_name(name: str) -> None:
    """A module of the same name would replace the attribute of the package when it is loaded."""
    assert importlib.util.find_spec(f"informer.{name}") is None


def test_unknown_name_raises_attribute_error() -> None:
    """An unknown name fails as it does on any module."""
    with pytest.raises(AttributeError, match="module 'informer' has no attribute 'Informer'"):
        informer.Informer  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    """The list of names for lazy loading and the imports for type checkers agree."""
    tree = ast.parse(Path(informer.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.module is not None
        for alias in node.names:
            assert alias.asname == alias.name, "an import for re-export has the form `name as name`"
            seen[alias.name] = node.module
    assert seen == informer._MODULE_OF


def test_star_import_gives_all_names() -> None:
    """`from informer import *` works although names are loaded on first use."""
    namespace: dict[str, Any] = {}
    exec("from informer import *", namespace)
    assert set(NAMES) <= set(namespace)


def test_import_loads_nothing_heavy() -> None:
    """`import informer` loads no other module of the package, and nothing of the official client."""
    loaded = modules_after("import informer")
    assert [name for name in loaded if name.startswith(("informer.", "watch"))] == []
    assert [name for name in loaded if name.partition(".")[0] in (*HEAVY, "urllib3", "msgspec")] == []


def test_no_public_name_loads_the_official_client() -> None:
    """A program with a list-watch of its own does not need the official client; it takes a second to import."""
    loaded = modules_after("import informer\nfor name in informer.__all__: getattr(informer, name)")
    assert "informer.shared.shared_informer" in loaded
    assert [name for name in loaded if name.partition(".")[0] == "kubernetes"] == []


def test_stores_and_objects_are_light() -> None:
    """A cache needs neither asyncio nor the official client."""
    loaded = modules_after(
        "from informer import Object, Store, Indexer, Lister, ConsistencyStore, MutationCache, TTLStore"
    )
    assert "msgspec" in loaded
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []


def test_the_names_of_sub_packages_are_known() -> None:
    """The list in `informer`, from which messages say where a name is, equals the packages' own lists."""
    found = {package: sorted(importlib.import_module(f"informer.{package}").__all__) for package in PACKAGES}
    assert {package: sorted(names.split()) for package, names in informer._ELSEWHERE.items()} == found


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LeaderElector", r"it is in informer\.leaderelection \(from informer\.leaderelection import LeaderElector\)"),
        ("run_workers", r"it is in informer\.workqueue "),
        ("EmbeddedAPIServer", r"it is in informer\.testing "),
        ("MetricsProvider", r"it is in informer\.leaderelection and informer\.workqueue "),
        ("EventType", r"it is in watch \(from watch import EventType\)"),
        ("SharedInformr", r"did you mean SharedInformer"),
        ("RateLimitQueue", r"did you mean informer\.workqueue\.RateLimitingQueue"),
        ("workqueues", r"did you mean workqueue"),
    ],
)
def test_a_missing_name_is_explained(name: str, hint: str) -> None:
    """By `from informer import`, and by the attribute. `hasattr` is still False."""
    with pytest.raises(ImportError, match=f"^cannot import name '{name}' from 'informer'.*{hint}"):
        exec(f"from informer import {name}", {})
    with pytest.raises(AttributeError, match=f"^module 'informer' has no attribute '{name}'.*{hint}"):
        getattr(informer, name)
    assert not hasattr(informer, name)


@pytest.mark.parametrize("name", ["xyzzy", "_private", "__wrapped__", "a.b", "a b", ""])
def test_a_name_like_no_other_has_no_hint(name: str) -> None:
    """The message says no more than that it is missing."""
    with pytest.raises(AttributeError, match=f"^module 'informer' has no attribute {name!r}$"):
        getattr(informer, name)


def test_internal_packages_can_be_imported_by_from() -> None:
    """A hint must not hide a module that exists but is not public."""
    modules_after("from informer import cache, queues")
    modules_after("from informer.workqueue import queue")


def test_a_hint_loads_no_sub_package() -> None:
    """Looking for a name costs no import of its package."""
    loaded = modules_after("import informer\nhasattr(informer, 'LeaderElector') or hasattr(informer, 'SharedInformr')")
    assert [name for name in loaded if name.startswith("informer.")] == []
