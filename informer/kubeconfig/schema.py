"""The format of a kubeconfig file, and its parser.

Errors name the file and the place in it. They quote no value, since any value may be a credential.

Source: client-go tools/clientcmd/api/v1/types.go.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from informer.errors import KubeconfigError

__all__ = ["AuthInfo", "ClusterInfo", "ContextInfo", "Kubeconfig", "parse"]


class _Section(msgspec.Struct, frozen=True, rename="kebab"):
    """A part of the file. Unknown keys are ignored; null means that the key is absent."""


class NamedExtension(_Section, frozen=True):
    """A tool's own data."""

    name: str | None = None
    extension: Any = None


class ClusterInfo(_Section, frozen=True, rename="kebab"):
    """A cluster's address and how to verify its certificate."""

    server: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None
    disable_compression: bool | None = None
    extensions: list[NamedExtension | None] | None = None


class ContextInfo(_Section, frozen=True, rename="kebab"):
    """A cluster, a user and a namespace, by name."""

    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class AuthInfo(_Section, frozen=True, rename="kebab"):
    """A user's credentials."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    as_: str | None = msgspec.field(default=None, name="as")
    as_uid: str | None = None
    as_groups: list[str] | None = None
    as_user_extra: dict[str, list[str] | None] | None = None
    username: str | None = None
    password: str | None = None
    auth_provider: dict[str, Any] | None = None
    exec: dict[str, Any] | None = None


class NamedCluster(_Section, frozen=True):
    """An entry of the list of clusters."""

    name: str | None = None
    cluster: ClusterInfo | None = None


class NamedContext(_Section, frozen=True):
    """An entry of the list of contexts."""

    name: str | None = None
    context: ContextInfo | None = None


class NamedUser(_Section, frozen=True):
    """An entry of the list of users."""

    name: str | None = None
    user: AuthInfo | None = None


class Kubeconfig(_Section, frozen=True, rename={"api_version": "apiVersion", "current_context": "current-context"}):
    """A whole file."""

    kind: str | None = None
    api_version: str | None = None
    current_context: str | None = None
    clusters: list[NamedCluster | None] | None = None
    contexts: list[NamedContext | None] | None = None
    users: list[NamedUser | None] | None = None


def parse(text: str | bytes, path: str) -> Kubeconfig:
    """Parses a kubeconfig in YAML or JSON. An empty file is an empty kubeconfig.

    Args:
        text: the file's content.
        path: the file's path, for messages.

    Raises:
        KubeconfigError: the file is not a kubeconfig.
    """
    # Raised outside of the handlers: the parsers' errors quote the file and would become this error's context.
    problem = ""
    found = Kubeconfig()
    try:
        found = msgspec.convert(_load_yaml(text), Kubeconfig)
    except msgspec.ValidationError as error:
        expected = str(error).replace(" | null", "")
        problem = f"{expected} (text that looks like a number, true or false has to be in quotes)"
    except UnicodeError:
        problem = "it is not UTF-8 text"
    except _ExcessiveAliasesError:
        problem = "its aliases (such as *name) repeat too much of it"
    # PyYAML raises these, too, for a value that does not fit its tag, for example.
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError, _yaml_error()) as error:
        mark = getattr(error, "problem_mark", None)
        problem = "it is not YAML" + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")
    if not problem and (found.kind not in (None, "", "Config") or found.api_version not in (None, "", "v1")):
        problem = "it has to be of kind Config and apiVersion v1"
    if problem:
        raise KubeconfigError(f"{path} is not a kubeconfig: {problem}")
    return found


def _load_yaml(text: str | bytes) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Takes for text what kubectl takes for text: dates, numbers of base 60, and the keys "=" and "<<" as values."""

    Loader.yaml_implicit_resolvers = {
        first: [
            (tag, _WITHOUT_BASE_60.get(tag, pattern))
            for tag, pattern in resolvers
            if tag != "tag:yaml.org,2002:timestamp"
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag in ("value", "merge"):
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", _text)
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    loader = Loader(text)
    try:
        # kubectl reads the first document only.
        if not loader.check_node():
            return {}
        node = loader.get_node()
        written: dict[int, int] = {}
        if _size(node, written) > _FREE_NODES + _MAX_REPEATED * len(written):
            raise _ExcessiveAliasesError
        found = loader.construct_document(node)
    finally:
        loader.dispose()
    return {} if found is None else found


class _ExcessiveAliasesError(Exception):
    """If its aliases were replaced by what they stand for, the file would be many times as large, or endless."""


_FREE_NODES = 10_000
_MAX_REPEATED = 10
"""How many times larger a file may become if its aliases are replaced. A few nested ones can stand for billions of values."""


def _size(node: Any, known: dict[int, int]) -> int:
    """Counts the values of a YAML node. Those of an alias count at each place that uses it.

    Args:
        node: the node.
        known: gets the size of each node, by its identity.
    """
    size = known.get(id(node))
    if size is None:
        known[id(node)] = 0  # marks a node whose size is being counted: a node that contains itself meets the mark
        children = [] if isinstance(node.value, str) else node.value
        size = 1
        for child in children:
            # The entries of a mapping are pairs.
            size += sum(_size(each, known) for each in (child if isinstance(child, tuple) else (child,)))
        known[id(node)] = size
    elif size == 0:
        raise _ExcessiveAliasesError
    return size


def _text(_: Any, node: Any) -> str:
    return str(node.value)


# The patterns of YAML 1.1, as PyYAML has them.
_WITHOUT_BASE_60 = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
}


def _yaml_error() -> type[Exception]:
    import yaml

    return yaml.YAMLError
