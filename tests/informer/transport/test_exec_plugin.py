"""What an exec plugin is started with: arguments, environment and cluster; and what it may answer."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from informer.transport.exec_plugin import ExecPluginError, run_exec_plugin

API = "client.authentication.k8s.io/v1"
SECRET = "s3cr3t"


class Plugin:
    """A plugin that writes its environment and answers with a token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.answer: dict[str, Any] = {"apiVersion": API, "kind": "ExecCredential", "status": {"token": "t"}}

    def run(self, cluster: dict[str, Any] | None = None, cluster_folder: str = "", **section: Any) -> dict[str, str]:
        """Runs it, and returns its environment."""
        (self._folder / "answer").write_text(json.dumps(self.answer))
        script = self._folder / "plugin"
        script.write_text(f"#!/bin/sh\nenv -0 > {self._folder}/env\ncat {self._folder}/answer\n")
        script.chmod(0o755)
        whole = {"command": str(script), "apiVersion": API, **section}
        run_exec_plugin(whole, cluster=cluster, cluster_folder=cluster_folder)
        pairs = (self._folder / "env").read_bytes().decode().split("\0")
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """A plugin that writes its environment and answers with a token."""
    return Plugin(tmp_path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        pytest.param({"env": [{"name": "A"}]}, "entry 'A' has no value", id="no-value"),
        pytest.param({"env": [{"name": "A", "value": ""}, {"value": SECRET}]}, "entry 2 has no name", id="no-name"),
        pytest.param({"env": [{"name": None, "value": SECRET}]}, "entry 1 has no name", id="null-name"),
        pytest.param({"env": [{"name": "A=B", "value": SECRET}]}, "entry 1 has no name that a variable", id="bad-name"),
        pytest.param({"env": [SECRET]}, "entry 1 has no name", id="not-a-mapping"),
        pytest.param({"env": {"A": SECRET}}, "is not a list of names and values", id="not-a-list"),
        pytest.param({"env": [{"name": "A", "value": 7}]}, "env 'A' of exec plugin .* put numbers", id="number"),
        pytest.param({"env": [{"name": "A", "value": True}]}, "has to be text", id="bool"),
        pytest.param({"args": ["a", None]}, "args of exec plugin .* has to be text", id="null-argument"),
        pytest.param({"args": SECRET}, "args of exec plugin .* has to be text", id="text-for-arguments"),
    ],
)
def test_a_malformed_section_is_named(section: dict[str, Any], message: str, plugin: Plugin) -> None:
    """By the plugin's command and the entry. Nothing becomes the text "None" or "True"; no value is quoted."""
    with pytest.raises(ExecPluginError, match=message) as caught:
        plugin.run(**section)
    assert "plugin'" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_null_value_is_left_out(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one is passed on."""
    monkeypatch.setenv("KEPT", "kept")
    seen = plugin.run(
        env=[{"name": "KEPT", "value": None}, {"name": "NONE", "value": None}, {"name": "E", "value": ""}]
    )
    assert (seen["KEPT"], seen.get("NONE"), seen["E"]) == ("kept", None, "")
    assert plugin.run(env=None, args=None)["KEPT"] == "kept"


def test_the_authority_is_given_as_data(plugin: Plugin, tmp_path: Path) -> None:
    """A plugin cannot know what a path in a kubeconfig is relative to. Go: ConfigToExecCluster."""
    (tmp_path / "ca.pem").write_text("PEM")
    extensions = [
        {"name": "other", "extension": 1},
        {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}},
    ]
    cluster = {
        "server": "https://there",
        "certificate-authority": "ca.pem",
        "proxy-url": "http://proxy",
        "insecure-skip-tls-verify": False,
        "extensions": extensions,
        "unknown": SECRET,
    }
    seen = plugin.run(cluster, str(tmp_path), provideClusterInfo=True)
    assert json.loads(seen["KUBERNETES_EXEC_INFO"])["spec"]["cluster"] == {
        "server": "https://there",
        "certificate-authority-data": base64.b64encode(b"PEM").decode(),
        "proxy-url": "http://proxy",
        "config": {"audience": "a"},
    }
    assert "cluster" not in json.loads(plugin.run(cluster, str(tmp_path))["KUBERNETES_EXEC_INFO"])["spec"]
    with pytest.raises(ExecPluginError, match=r"cannot read the certificate-authority /nowhere/ca.pem: No such file"):
        plugin.run(cluster, "/nowhere", provideClusterInfo=True)


@pytest.mark.parametrize(
    ("came", "shown"),
    [
        pytest.param("client.authentication.k8s.io/v1beta1", "client.authentication.k8s.io/v1beta1", id="older"),
        pytest.param(SECRET, "another apiVersion", id="other-text"),
        pytest.param(None, "another apiVersion", id="none"),
    ],
)
def test_another_api_version_is_named(came: str | None, shown: str, plugin: Plugin) -> None:
    """With the one that was asked for, and what to do."""
    plugin.answer["apiVersion"] = came
    with pytest.raises(ExecPluginError) as caught:
        plugin.run()
    assert f"of apiVersion {API}, which the kubeconfig asks for, but of {shown}: regenerate the kubeconfig" in str(
        caught.value
    )
    assert SECRET not in str(caught.value)
