"""Which configuration is used: KUBECONFIG, else the home folder's, else the service account of the pod."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import KubeconfigError
from informer.kubeconfig.find import find_access

SERVER = "https://[fd00::1]:443"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A home folder, kubeconfigs and a service account."""
    return Machine(tmp_path)


class Machine:
    """A home folder, kubeconfigs and a service account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"HOME": str(folder / "home")}
        self.service_account = folder / "serviceaccount"

    def write(self, name: str, server: str = "", **changes: Any) -> str:
        """Writes a kubeconfig, without a server an empty one."""
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k"}}],
            "clusters": [{"name": "k", "cluster": {"server": server}}],
        }
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(config | changes) if server else "")
        return str(path)

    def be_a_pod(self) -> None:
        self.service_account.mkdir()
        for name, content in (("token", "t"), ("ca.crt", "ca"), ("namespace", "mine\n")):
            (self.service_account / name).write_text(content)
        self.environment |= {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}

    def found(self, kubeconfig: str | None = None, context: str | None = None) -> str:
        """The server's address."""
        access = find_access(kubeconfig, context, environment=self.environment, service_account=self.service_account)
        return access.cluster.server


def test_kubeconfig_has_precedence_over_the_service_account(machine: Machine) -> None:
    """As in kubectl, also that of the home folder; an explicit path has precedence over all."""
    machine.be_a_pod()
    assert machine.found() == SERVER
    machine.write("home/.kube/config", "https://home")
    assert machine.found() == "https://home"
    machine.environment["KUBECONFIG"] = ""
    assert machine.found() == "https://home"
    machine.environment["KUBECONFIG"] = ":" + machine.write("empty") + ":" + machine.write("a", "https://a")
    assert machine.found() == "https://a"
    assert machine.found(machine.write("b", "https://b")) == "https://b"


@pytest.mark.parametrize("state", ["empty", "missing", "without-current-context"])
def test_a_pod_with_a_kubeconfig_that_says_nothing_uses_its_service_account(
    state: str, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """As in kubectl. A log line names a missing file."""
    machine.be_a_pod()
    paths = {"empty": machine.write("x"), "missing": str(machine.folder / "nowhere")}
    machine.environment["KUBECONFIG"] = paths.get(state) or machine.write("y", "https://y", **{"current-context": ""})
    with caplog.at_level(logging.WARNING):
        assert machine.found() == SERVER
    assert (f"KUBECONFIG names {machine.folder}/nowhere, which does not exist" in caplog.text) == (state == "missing")


def test_a_service_account_is_described(machine: Machine) -> None:
    """Its token and authority are files, which are read again when they change."""
    machine.be_a_pod()
    found = find_access(environment=machine.environment, service_account=machine.service_account)
    assert found.namespace == "mine"
    assert found.user.token_file == str(machine.service_account / "token")
    assert found.cluster.authority.path == str(machine.service_account / "ca.crt")
    (machine.service_account / "namespace").unlink()
    assert find_access(environment=machine.environment, service_account=machine.service_account).namespace == "default"


def test_a_missing_file_is_reported_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """By the error, where nothing else is configured; a log line says the same only where something else is."""
    machine.environment["KUBECONFIG"] = str(machine.folder / "nowhere")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(KubeconfigError, match=r"nowhere \(named by KUBECONFIG\) does"),
    ):
        machine.found()
    assert not caplog.text


def test_without_any_configuration_the_error_names_both_places(machine: Machine) -> None:
    """And what to do."""
    with pytest.raises(KubeconfigError) as caught:
        machine.found()
    for phrase in (
        "KUBECONFIG is not set",
        f"{machine.folder}/home/.kube/config does not exist",
        "serviceaccount",
        "Create",
    ):
        assert phrase in str(caught.value)


def test_a_kubeconfig_that_does_not_exist_is_named(machine: Machine) -> None:
    """Whether KUBECONFIG or the caller names it."""
    machine.environment["KUBECONFIG"] = "/nonexistent"
    with pytest.raises(KubeconfigError, match=r"/nonexistent \(named by KUBECONFIG\) does not exist.*set KUBECONFIG"):
        machine.found()
    with pytest.raises(KubeconfigError, match="context 'c' does not exist"):
        machine.found(context="c")
    with pytest.raises(KubeconfigError, match="the kubeconfig /nowhere does not exist"):
        machine.found("/nowhere")


def test_an_explicit_kubeconfig_never_falls_back_to_the_service_account(machine: Machine) -> None:
    """The caller meant another cluster."""
    machine.be_a_pod()
    with pytest.raises(KubeconfigError, match="sets no current-context"):
        machine.found(machine.write("x"))


def test_a_folder_is_not_a_kubeconfig(machine: Machine) -> None:
    """Nor is a file that cannot be read. In a pod, a home folder that cannot be read is ignored."""
    path = machine.folder / "home" / ".kube" / "config"
    path.mkdir(parents=True)
    with pytest.raises(KubeconfigError, match=f"cannot read the kubeconfig {path}: Is a directory"):
        machine.found()
    machine.be_a_pod()
    assert machine.found() == SERVER
    machine.environment["KUBECONFIG"] = str(path)
    with pytest.raises(KubeconfigError, match="cannot read"):
        machine.found()


def test_a_file_that_is_named_twice_is_read_once(machine: Machine) -> None:
    """As in client-go; the home folder can be written as `~`."""
    path = machine.write("a", "https://a")
    machine.environment["KUBECONFIG"] = f"{path}:{path}"
    assert machine.found() == "https://a"
