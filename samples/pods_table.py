#!/usr/bin/env python3
"""A cluster's pods as a pandas DataFrame that is always up to date: counts and memory by node, phase and namespace.

    pip install 'kube-informer[cli,testing]' pandas
    python samples/pods_table.py

It is written in cells (`# %%`): VS Code, PyCharm and Spyder run them one by one, and `jupytext --to notebook` makes a
notebook of them. Run a cell again to see the pods of that moment: the informer keeps them current, and no cell asks the
server. As a program it prints the tables, waits for changes, and prints what has changed. If no cluster is configured, it
starts an API server of its own, with pods that appear, change and disappear.

Environment variables: TABLE_NAMESPACE, of the pods (default: all); TABLE_SECONDS, how long to wait for changes (default: 5).
"""

# %% The pods, as the few fields that the tables need.
from __future__ import annotations

import os
import time
from contextlib import ExitStack

import msgspec
import pandas as pd
from _demo_pods import client_or_demo
from kubernetes.utils import parse_quantity

from informer import ListWatch, SharedInformer


class Resources(msgspec.Struct, frozen=True):
    requests: dict[str, str] = {}


class Container(msgspec.Struct, frozen=True):
    resources: Resources = Resources()


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    containers: tuple[Container, ...]
    node_name: str = ""


class Status(msgspec.Struct, frozen=True):
    phase: str = ""


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    namespace: str
    creation_timestamp: str = ""


class Pod(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: Spec
    status: Status


# %% Connect, and wait for the first list.
SECONDS = float(os.environ.get("TABLE_SECONDS", "5"))
NAMESPACE = os.environ.get("TABLE_NAMESPACE") or None

stack = ExitStack()
api_client = stack.enter_context(client_or_demo())
pods = stack.enter_context(SharedInformer(ListWatch.for_resource(api_client, "pods", namespace=NAMESPACE, model=Pod)))
pods.wait_for_sync(timeout=30, raise_on_error=True)


# %% A DataFrame of this moment: one row for each pod.
def table() -> pd.DataFrame:
    """Returns the pods of the cache."""
    rows = [
        {
            "namespace": pod.metadata.namespace,
            "name": pod.metadata.name,
            "node": pod.spec.node_name or "<none>",
            "phase": pod.status.phase,
            "memory_mib": mebibytes(pod),
            "created": pod.metadata.creation_timestamp,
        }
        for pod in pods.store.list()
    ]
    frame = pd.DataFrame(rows, columns=["namespace", "name", "node", "phase", "memory_mib", "created"])
    frame["created"] = pd.to_datetime(frame["created"], utc=True)
    return frame.set_index(["namespace", "name"]).sort_index()


def mebibytes(pod: Pod) -> float:
    """Returns the memory that a pod's containers request, in MiB."""
    requests = [container.resources.requests.get("memory", "0") for container in pod.spec.containers]
    return float(sum(map(parse_quantity, requests)) / 2**20)


before = table()
print(f"{len(before)} pods\n\n{before.head(10).to_string()}\n")

# %% How many pods of each phase each node has.
print(before.pivot_table(index="node", columns="phase", aggfunc="size", fill_value=0), "\n")

# %% The memory that pods request, by node and by namespace, in MiB.
print(before.groupby("node")["memory_mib"].agg(["count", "sum", "max"]), "\n")
print(before.groupby("namespace")["memory_mib"].sum(), "\n")

# %% What changes in some seconds: pods that come, go, or have another node or phase.
time.sleep(SECONDS)
after = table()
both = before.index.intersection(after.index)
differs = (before.loc[both, ["node", "phase"]] != after.loc[both, ["node", "phase"]]).any(axis=1)
print(f"within {SECONDS:g} s: {len(after.index.difference(before.index))} came, ", end="")
print(f"{len(before.index.difference(after.index))} went, {differs.sum()} changed\n")
print(after.loc[both[differs], ["node", "phase"]])


# %% A question that needs one field needs one field of memory: a model of only the node, in a second informer.
class NodeName(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class Placement(msgspec.Struct, frozen=True):
    spec: NodeName


placements = stack.enter_context(
    SharedInformer(ListWatch.for_resource(api_client, "pods", namespace=NAMESPACE, model=Placement))
)
placements.wait_for_sync(timeout=30, raise_on_error=True)
nodes = pd.Series([each.spec.node_name or "<none>" for each in placements.store.list()])
print(f"\n{nodes.value_counts().rename('pods by node')}")

# %% Stop the informers when you are done.
stack.close()
