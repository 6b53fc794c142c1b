"""The control plane's errors when its programs are missing or do not start. Shell scripts stand in for the programs."""

from __future__ import annotations

import pytest

from informer.testing.control_plane import ControlPlane, ControlPlaneError


@pytest.fixture
def write_program(tmp_path):
    """Writes a shell script in place of etcd or kube-apiserver, in the assets folder `tmp_path`."""

    def write(name, script):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    write("etcd", "exit 1\n")
    write("kube-apiserver", "exit 1\n")
    return write


@pytest.fixture(autouse=True)
def temporary_folders(tmp_path_factory, monkeypatch):
    """The folder for the data of control planes; the test fails if any data is left there."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_missing_setting_is_named(monkeypatch):
    """Without KUBEBUILDER_ASSETS the error says what the variable should name, and which tool prints that folder."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(ControlPlaneError, match="KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and"):
        ControlPlane()


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver"])
def test_missing_program_is_named(monkeypatch, tmp_path, write_program, name):
    """The error names the missing program, its folder, and the setting that named the folder."""
    (tmp_path / name).unlink()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(ControlPlaneError, match=f"^no {name} in {tmp_path}, the folder that KUBEBUILDER_ASSETS names$"):
        ControlPlane()
    with pytest.raises(ControlPlaneError, match="the argument assets names"):
        ControlPlane(assets=tmp_path)


def test_program_without_permission_is_named(tmp_path, write_program):
    """A program without the execute permission is an error that names its path."""
    (tmp_path / "etcd").chmod(0o644)
    with pytest.raises(ControlPlaneError, match="/etcd cannot be executed"):
        ControlPlane(assets=tmp_path)


def test_error_quotes_a_program_that_ends(tmp_path, write_program):
    """When etcd ends instead of starting, the error has its last 20 lines, and the control plane counts as stopped."""
    write_program("etcd", "for i in $(seq 30); do echo line $i; done; echo disk is full >&2; exit 3\n")
    plane = ControlPlane(assets=tmp_path)
    with pytest.raises(ControlPlaneError) as failed:
        plane.start()
    assert str(failed.value).startswith("etcd ended instead of starting; its last output:\n  line 12\n")
    assert str(failed.value).endswith("\n  line 30\n  disk is full")
    with pytest.raises(RuntimeError, match="has not started"):
        _ = plane.url
    plane.stop()


def test_program_that_does_not_answer_times_out(tmp_path, write_program):
    """A program that does not answer within `start_timeout` is killed and named in the error."""
    write_program("etcd", "exec sleep 60\n")
    with pytest.raises(ControlPlaneError, match=r"etcd was not ready after 0\.3 s; .*\n  \(nothing\)"):
        ControlPlane(assets=tmp_path, start_timeout=0.3).start()


def test_start_retries_with_other_ports(tmp_path, write_program, tmp_path_factory):
    """A program whose port is in use is started again with other ports, up to five times."""
    calls = tmp_path_factory.mktemp("calls") / "calls"
    write_program(
        "etcd", f'echo "$@" >> {calls}; echo "listen tcp 127.0.0.1:1: bind: address already in use"; exit 1\n'
    )
    with pytest.raises(ControlPlaneError, match="no free ports"):
        ControlPlane(assets=tmp_path).start()
    addresses = [
        argument for line in calls.read_text().splitlines() for argument in line.split() if "client" in argument
    ]
    assert len(set(addresses)) == len(addresses) == 10


@pytest.mark.parametrize("use", ["url", "ca_file", "log_directory"])
def test_attributes_before_start_raise(tmp_path, write_program, use):
    """Before `start` the address and the folders are a RuntimeError."""
    with pytest.raises(RuntimeError, match="has not started"):
        getattr(ControlPlane(assets=tmp_path), use)


@pytest.mark.parametrize("method", ["compact", "kill", "restart", "api_client"])
def test_methods_before_start_raise(tmp_path, write_program, method):
    """Before `start` every method that needs the programs raises RuntimeError."""
    with pytest.raises(RuntimeError, match="has not started"):
        getattr(ControlPlane(assets=tmp_path), method)()


def test_extra_args_must_be_a_list(tmp_path, write_program):
    """A string as `extra_args` is a TypeError, as it would be split into characters."""
    with pytest.raises(TypeError, match="extra_args must be a list"):
        ControlPlane(assets=tmp_path, extra_args="--event-ttl=10m")
