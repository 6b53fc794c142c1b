"""The server of the live page, and the page in a browser."""

from __future__ import annotations

import http.client
import shutil
import subprocess

import pytest

from informer.metrics import MetricsServer, serve_live_page
from tests.support.waiting import DEADLINE
from tests.support.web_pages import Parsed

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def ask(server: MetricsServer, path: str = "/", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_page_answers_to_names_of_this_host_only(registry) -> None:
    """A page of another site, whose name was made to lead to this host, cannot read this one."""
    with serve_live_page(0, registry=registry) as server:
        port = server.port
        assert [ask(server, Host=name) for name in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}")] == [
            200
        ] * 3
        assert [ask(server, Host=name) for name in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", "")] == [
            403
        ] * 4
        assert ask(server, "/state.json", Host="evil.example") == 403


def test_a_server_with_a_token_answers_to_any_name(registry) -> None:
    """The token decides. It reaches the page through the server, too."""
    with serve_live_page(0, registry=registry, token="0123-server-token") as server:
        assert ask(server, Host="site.example") == 401
        assert ask(server, Host="site.example", Authorization="Bearer 0123-server-token") == 200


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_keeps_the_page_up_to_date(registry, make, source, tmp_path) -> None:
    """Script and styles load under the page's policy, and the script replaces what has changed."""
    make(source, name="<img src=x onerror=alert(1)>")
    with serve_live_page(0, registry=registry) as server:
        page = browse(server, tmp_path)
    # The server's first answer has no plots, and the box is hidden where no script runs.
    assert page.all("svg", role="img")
    assert not [each for each in page.all("p") if "hidden" in each.attributes]
    assert page.all("p", role="status")[0].text == ""
    assert page.rows("informers")[0][0] == "<img src=x onerror=alert(1)>"


def browse(server: MetricsServer, profile: object) -> Parsed:
    """Returns the overview as it is some seconds after a browser has opened it; the browser's clock runs fast."""
    done = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
            *("--virtual-time-budget=5000", "--dump-dom", f"http://127.0.0.1:{server.port}/"),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return Parsed(done.stdout)
