"""The control plane: it starts, serves, compacts, crashes and restarts, and leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3
from kubernetes import client, config

from informer.testing.control_plane import ControlPlane, ControlPlaneError
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(120),
    # Older official clients read headers in a deprecated way.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

# A test run in a process of its own: starts a control plane, prints its processes, and waits for a signal.
OTHER_RUN = """
import json, threading, urllib3
from informer.testing import ControlPlane
with ControlPlane() as plane:
    try:
        print(json.dumps([str(plane.log_directory), plane._etcd._process.pid, plane._apiserver._process.pid]), flush=True)
        threading.Event().wait(60)
    except KeyboardInterrupt:
        # As in pytest, which then tears fixtures down: they may still need the server.
        http = urllib3.PoolManager(ca_certs=str(plane.ca_file))
        print(http.request("GET", plane.url + "/readyz").data.decode(), flush=True)
"""


def is_alive(pid):
    """Returns whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def other_run():
    """Another process with its own control plane: (process, its folder, the pids of etcd and kube-apiserver)."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_RUN], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        folder, *pids = json.loads(process.stdout.readline())
        yield process, Path(folder), pids
        process.kill()
    for pid in filter(is_alive, pids):
        os.kill(pid, signal.SIGKILL)


def wait_until_dead(pids):
    assert eventually(lambda: not any(map(is_alive, pids))), "left running"


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_the_server_after_the_tests(other_run):
    """SIGINT reaches only the test run, which can still use the server, then stops it and deletes its folder."""
    process, folder, pids = other_run
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0].split() == ["ok"]
    wait_until_dead(pids)
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_child_does_not_stop_the_control_plane(control_plane):
    """In a child the control plane counts as not started, since its processes belong to the parent."""
    child = os.fork()
    if not child:
        started = True
        try:
            control_plane.stop()
            _ = control_plane.url
        except RuntimeError:
            started = False
        finally:
            os._exit(int(started))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.CoreV1Api(control_plane.api_client()).list_namespace().items


def test_rights_of_the_built_in_users(control_plane):
    """The admin may do everything, "nobody" nothing, and an unknown token or user is refused."""
    core = client.CoreV1Api(control_plane.api_client())
    assert core.read_namespace("default").metadata.name == "default"
    for api_client, status in (
        (control_plane.api_client("nobody"), 403),
        (control_plane.api_client(user="nobody"), 403),
        (control_plane.api_client(token="wrong"), 401),
    ):
        with pytest.raises(client.ApiException) as refused:
            client.CoreV1Api(api_client).list_namespace()
        assert refused.value.status == status
    with pytest.raises(ValueError, match="no user 'alice': there are admin, nobody"):
        control_plane.api_client(user="alice")


def test_kubeconfig_is_enough_for_the_official_client(control_plane, tmp_path):
    """The official client's loader reads the file, only its owner may read it, and the certificate is verified."""
    path = control_plane.kubeconfig(tmp_path / "kubeconfig", user="nobody")
    assert path.stat().st_mode & 0o777 == 0o600
    configuration = client.Configuration()
    config.load_kube_config(str(path), client_configuration=configuration)
    assert configuration.verify_ssl
    with client.ApiClient(configuration) as api_client, pytest.raises(client.ApiException, match="nobody"):
        client.CoreV1Api(api_client).list_namespace()


def test_kubeconfig_and_data_are_private(control_plane, tmp_path):
    """No other user can read them at any moment, and a symbolic link at the kubeconfig's path is not followed."""
    victim, link, old = (tmp_path / name for name in ("victim", "link", "old"))
    victim.write_text("precious")
    link.symlink_to(victim)
    old.write_text("old")
    old.chmod(0o644)
    with old.open() as reader:
        for path in (link, old):
            control_plane.kubeconfig(path)
            assert path.lstat().st_mode & 0o777 == 0o600
            assert control_plane.token() in path.read_text()
        assert reader.read() == "old"
    assert victim.read_text() == "precious"
    folder = control_plane.log_directory
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {(folder / name).stat().st_mode & 0o777 for name in ("sa.key", "tokens.csv")} == {0o600}


def test_restart_refuses_a_folder_that_was_made_anew():
    """A program that cleans /tmp may have deleted the folder, and another user may have put tokens into a new one."""
    with ControlPlane() as plane:
        folder = plane.log_directory
        moved = folder.with_name(folder.name + ".moved")
        folder.rename(moved)
        try:
            with pytest.raises(ControlPlaneError, match=r"cannot use the folder .* No such file or directory"):
                plane.restart()
            folder.mkdir()
            folder.chmod(0o777)
            with pytest.raises(ControlPlaneError, match=r"cannot use the folder .* \(does a program clean /tmp\?\)"):
                plane.restart()
        finally:
            folder.rmdir()
            moved.rename(folder)
        plane.restart()


def test_client_without_the_certificate_refuses_the_connection(control_plane):
    """A client without the server's certificate refuses the connection."""
    with pytest.raises(urllib3.exceptions.SSLError, match="certificate verify failed"):
        urllib3.PoolManager(retries=False).request("GET", control_plane.url)


def test_restart_keeps_address_and_data(unsteady_cluster):
    """After a restart the same client finds the same objects at the same address."""
    plane = unsteady_cluster.plane
    core = client.CoreV1Api(plane.api_client())
    made = core.create_namespaced_config_map("default", {"metadata": {"generateName": "kept-"}})
    url = plane.url
    plane.kill()
    with pytest.raises(urllib3.exceptions.HTTPError):
        core.read_namespace("default")
    plane.restart()
    assert plane.url == url
    assert core.read_namespaced_config_map(made.metadata.name, "default").metadata.uid == made.metadata.uid


def test_compaction_forgets_history(cluster):
    """After `compact` an exact list of an older resourceVersion is 410; calling it again does no harm."""
    # The server does not cache Events, so this list is read from etcd.
    path = "/api/v1/namespaces/default/events"
    exact = f"{path}?resourceVersionMatch=Exact&resourceVersion={cluster.get(path)['metadata']['resourceVersion']}"
    cluster.create("/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "later-"}})
    cluster.get(exact)
    revision = cluster.plane.compact()
    assert cluster.plane.compact() >= revision
    with pytest.raises(AssertionError, match=r"410.*Expired"):
        cluster.get(exact)


def test_error_quotes_a_server_that_does_not_start():
    """The error quotes kube-apiserver's message about a bad argument, comes at once, and no process is left."""
    plane = ControlPlane(extra_args=["--no-such-flag"], start_timeout=60)
    with pytest.raises(ControlPlaneError, match=r"(?s)kube-apiserver ended instead of starting.*--no-such-flag"):
        plane.start()
    with pytest.raises(RuntimeError, match="not started"):
        _ = plane.url


def test_options_reach_the_server():
    """The server runs with the given feature gates, extra arguments and users."""
    with ControlPlane(
        feature_gates={"WatchList": False}, extra_args=["--event-ttl=10m"], users={"alice": ["system:masters"]}
    ) as plane:
        with pytest.raises(RuntimeError, match="started already"):
            plane.start()
        core = client.CoreV1Api(plane.api_client(user="alice"))
        assert core.list_namespace().items
        with pytest.raises(client.ApiException, match="WatchList feature gate"):
            core.list_namespace(
                watch=True,
                send_initial_events=True,
                allow_watch_bookmarks=True,
                resource_version_match="NotOlderThan",
                _preload_content=False,
            )
        (process,) = Path("/proc").glob(f"{plane._apiserver._process.pid}/cmdline")
        assert "--event-ttl=10m" in process.read_text().split("\0")
    plane.stop()
