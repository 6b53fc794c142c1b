"""Builds the paths of requests to an API server. Only this module checks and quotes the names in a path.

A name may come from an object's field, a kubeconfig or the server's discovery. If it were not checked, the name
"team-a/../kube-system" would send a request to another namespace.

Source: apimachinery pkg/util/validation and pkg/api/validation/path.
"""

from __future__ import annotations

import re
import urllib.parse

__all__ = ["checked_parameter", "dns_label", "dns_subdomain", "is_path_segment", "path_segment", "resource_path"]

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
# Checks characters and length only; the labels are matched one by one. One pattern with nested repetitions would backtrack.
_SUBDOMAIN_CHARACTERS = re.compile(r"[-a-z0-9.]{1,253}")


def dns_label(what: str, value: object) -> str:
    """Checks the name of a namespace, an API version or a resource, and returns it as a plain `str`.

    Args:
        what: what it is, for the message.
        value: the name.

    Raises:
        ValueError: it is not a DNS label.
    """
    text = _text(value)
    if _LABEL.fullmatch(text) is None:
        raise ValueError(
            f'{what} must be a DNS label, of lower-case letters, digits and "-", at most 63, not {value!r:.100}'
        )
    return text


def dns_subdomain(what: str, value: object) -> str:
    """Checks the name of an API group or an object, which consists of DNS labels with dots between them; see `dns_label`."""
    text = _text(value)
    if _SUBDOMAIN_CHARACTERS.fullmatch(text) is None or not all(map(_is_label, text.split("."))):
        raise ValueError(
            f'{what} must be a DNS subdomain, of lower-case letters, digits, "-" and ".", at most 253, not {value!r:.100}'
        )
    return text


def is_path_segment(name: object) -> bool:
    """Returns whether a name fulfils the rules for objects of any kind: roles, for example, need not have DNS names."""
    return isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "%" not in name


def path_segment(what: str, value: object) -> str:
    """Checks a name of any kind; see `is_path_segment` and `dns_label`."""
    if not is_path_segment(value):
        raise ValueError(f'{what} must be a name without "/" and "%", and neither "." nor "..", not {value!r:.100}')
    return _text(value)


def resource_path(
    group: str, version: str, plural: str = "", namespace: str | None = None, name: str = "", subresource: str = ""
) -> str:
    """Returns the path of a list, of one object or of an API version's discovery document.

    Args:
        group: the API group, "" for the core group.
        version: the API version, such as "v1".
        plural: the resource's plural name; "" for the discovery document.
        namespace: the namespace; None or "" for the whole cluster.
        name: the object's name; "" for the list.
        subresource: such as "status"; "" for the object itself.

    Raises:
        ValueError: one of the names is not valid.
    """
    parts = ["apis", dns_subdomain("an API group", group)] if group else ["api"]
    parts.append(dns_label("an API version", version))
    if namespace:
        parts += ["namespaces", dns_label("namespace", namespace)]
    if plural:
        parts.append(dns_label("a resource's plural name", plural))
    if name:
        parts.append(path_segment("an object's name", name))
    if subresource:
        parts.append(dns_label("a subresource", subresource))
    return "/" + "/".join(map(_quoted, parts))


def checked_parameter(name: str, value: object) -> str:
    """Checks and quotes an argument of an official list method that becomes a part of the path.

    Args:
        name: the parameter's name; it decides which rule the value has to fulfil.
        value: the user's argument.

    Raises:
        ValueError: the value is not valid.
    """
    if name == "group":
        return _quoted(dns_subdomain(name, value))
    check = dns_label if name in ("namespace", "version", "plural", "resource_plural") else path_segment
    return _quoted(check(name, value))


def _is_label(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def _text(value: object) -> str:
    # As a plain str: a subclass may format itself as a text that differs from the checked one.
    return str.__str__(value) if isinstance(value, str) else ""


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="", errors="replace")
