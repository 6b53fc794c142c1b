"""What kube-apiserver publishes about its built-in kinds, read from a file when it is first needed.

tools/api_documents makes the file with a real server of one version of Kubernetes.
"""

from __future__ import annotations

import lzma
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

__all__ = ["Published", "published"]


class Published(msgspec.Struct, frozen=True):
    """The documents of one version of Kubernetes.

    Attributes:
        kubernetes: the version, such as "v1.37.2".
        openapi: the OpenAPI v3 documents as JSON, by their path below /openapi/v3, such as "apis/apps/v1".
        columns: the columns of a table of each resource, by the path of its list, such as "/api/v1/pods".
        custom: the OpenAPI v3 documents of two custom resources, by scope, with placeholders for names.
    """

    kubernetes: str
    openapi: dict[str, msgspec.Raw]
    columns: dict[str, list[dict[str, Any]]]
    custom: dict[str, msgspec.Raw]


@cache
def published() -> Published:
    """Returns the documents. The first call takes about 60 ms."""
    data = files(__package__ or "").joinpath("kubernetes.json.xz").read_bytes()
    return msgspec.json.decode(lzma.decompress(data), type=Published)
