"""Writes informer/protobuf/kinds.json.gz: the protobuf form and the JSON names of all built-in kinds of Kubernetes.

    python tools/protobuf_kinds/generate.py 0.37.2

The argument is the version of client-go, whose minor and patch numbers are those of Kubernetes. Go has to be installed. The
result is the same for the same version.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "informer" / "protobuf" / "kinds.json.gz"
MODULES = ("k8s.io/client-go", "k8s.io/apiextensions-apiserver", "k8s.io/kube-aggregator")


def main() -> None:
    if len(sys.argv) != 2 or not sys.argv[1].startswith("0."):
        sys.exit(__doc__)
    version = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "main.go", folder)
        for command in (
            ["go", "mod", "init", "kinds"],
            ["go", "get", *(f"{module}@v{version}" for module in MODULES)],
            ["go", "mod", "tidy"],
        ):
            subprocess.run(command, cwd=folder, check=True)
        printed = subprocess.run(["go", "run", "."], cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    TARGET.write_bytes(compressed(json.loads(printed), "1" + version[1:]))


def compressed(read: dict, kubernetes: str) -> bytes:
    table = {
        "kubernetes": kubernetes,
        "kinds": dict(sorted(read["kinds"].items())),
        "types": {
            name: [[field[key] for key in ("number", "name", "shape", "flags", "value")] for field in fields]
            for name, fields in sorted(read["types"].items())
        },
    }
    return gzip.compress(json.dumps(table, separators=(",", ":")).encode(), 9, mtime=0)


if __name__ == "__main__":
    main()
