"""Programs that end while informers run: they end at once, silently, and no daemon thread uses a torn-down module.

They run in Python's development mode with every warning as an error, and all at the same time.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 50

PRELUDE = """
import asyncio, logging, multiprocessing, os, socket, sys, threading, time, warnings

from informer import InformerForkedError, ListWatch, SharedInformer, SharedInformerFactory
from informer.testing.fake_source import FakeControllerSource

# Python 3.12 and later warn of a fork in a process with threads, which is what some programs try.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

# The reflector may log that a server cannot be reached.
logging.getLogger("informer.reflector.reflector").disabled = True
# In development mode asyncio warns of slow steps, which are normal on a busy machine.
logging.getLogger("asyncio").setLevel(logging.ERROR)

def filled():
    source = FakeControllerSource()
    source.add({"metadata": {"name": "a", "namespace": "ns"}})
    return source

def started(source):
    informer = SharedInformer(source, watch_list=False)
    informer.start()
    assert informer.wait_for_sync(20)
    return informer

def client_of(host, **settings):
    from kubernetes import client
    configuration = client.Configuration(host=host)
    for name, value in settings.items():
        setattr(configuration, name, value)
    return client.ApiClient(configuration)

def use_in_child(informer):
    # Runs in a child process: its own informer works, a copy of the parent's raises.
    if informer is not None:
        try:
            informer.indexer.list()
        except InformerForkedError:
            pass
        else:
            sys.exit("the parent's informer can be used")
    own = started(filled())
    assert own.indexer.list_keys() == ["ns/a"]

def in_child(method, *arguments):
    context = multiprocessing.get_context(method)
    child = context.Process(target=use_in_child, args=arguments)
    child.start()
    child.join(20)
    assert child.exitcode == 0, child.exitcode
    child.close()

if __name__ == "__main__":
"""

PROGRAMS = {
    "an-answer-that-does-not-come": """
        listener = socket.create_server(("127.0.0.1", 0))
        pods = ListWatch.for_resource(client_of(f"http://127.0.0.1:{listener.getsockname()[1]}"), "pods")
        informer = SharedInformer(pods)
        informer.start()
        connection = listener.accept()[0]
        assert connection.recv(1)
        connection.close()
        again = listener.accept()[0]
        assert again.recv(1)
        sys.stdout.write("over")
        again.detach(), listener.close()
    """,
    "a-name-lookup": """
        entered = threading.Event()
        def look_up(host, *arguments, flags=0, **options):
            if flags:
                raise socket.gaierror("a name")
            entered.set()
            threading.Event().wait()
        socket.getaddrinfo = look_up
        SharedInformer(ListWatch.for_resource(client_of("https://api.example"), "pods")).start()
        assert entered.wait(20)
        sys.stdout.write("over")
    """,
    "a-name-lookup-that-ends-just-then": """
        entered, late = threading.Event(), threading.Event()
        def look_up(host, *arguments, flags=0, **options):
            if flags:
                raise socket.gaierror("a name")
            entered.set()
            late.wait(0.2)
            raise socket.gaierror("no such name")
        socket.getaddrinfo = look_up
        for number in range(20):
            SharedInformer(ListWatch.for_resource(client_of(f"https://api-{number}.example"), "pods")).start()
        assert entered.wait(20)
        late.wait(0.15)
        sys.stdout.write("over")
    """,
    "a-credential-hook": """
        entered = threading.Event()
        def hook(configuration):
            entered.set()
            threading.Event().wait()
        client = client_of("http://127.0.0.1:1", refresh_api_key_hook=hook)
        SharedInformer(ListWatch.for_resource(client, "pods")).start()
        assert entered.wait(20)
        sys.stdout.write("over")
    """,
    "a-factory-without-a-server": """
        factory = SharedInformerFactory(client_of("http://127.0.0.1:1"))
        for resource in ("pods", "nodes", "services"):
            factory.informer(resource).add_event_handler(on_add=lambda obj: None)
        factory.start()
        sys.stdout.write("over")
    """,
    "a-loop-that-waits": """
        async def main():
            informer = started(filled())
            async def follow():
                async for change in informer.aio.events():
                    seen.set()
            seen = asyncio.Event()
            task = asyncio.get_running_loop().create_task(follow())
            await seen.wait()
            sys.stdout.write("over")
            task.cancel()
        asyncio.run(main())
    """,
    "a-stop-in-a-finalizer": """
        class Owner:
            def __init__(self):
                self.informer = started(filled())
            def __del__(self):
                sys.stdout.write("over" if self.informer.stop(10) else "still running")
        owner = Owner()
        owner.itself = owner
    """,
    "os-exit": """
        informer = started(filled())
        informer.add_event_handler(on_add=lambda obj: threading.Event().wait())
        sys.stdout.write("over")
        sys.stdout.flush()
        os._exit(0)
    """,
    "multiprocessing-fork": """
        informer = started(filled())
        in_child("fork", informer)
        assert informer.indexer.list_keys() == ["ns/a"]
        sys.stdout.write("over")
    """,
    "multiprocessing-forkserver": """
        informer = started(filled())
        in_child("forkserver", None)
        assert informer.indexer.list_keys() == ["ns/a"]
        sys.stdout.write("over")
    """,
    "multiprocessing-spawn": """
        informer = started(filled())
        in_child("spawn", None)
        assert informer.indexer.list_keys() == ["ns/a"]
        sys.stdout.write("over")
    """,
}


class Outcome(NamedTuple):
    """The result of a program."""

    code: int
    output: str
    errors: str


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    """Runs every program, and returns the results."""
    folder = tmp_path_factory.mktemp("programs")
    running = {}
    for name, program in PROGRAMS.items():
        path = folder / f"{name.replace('-', '_')}.py"
        path.write_text(PRELUDE + textwrap.indent(textwrap.dedent(program), "    "))
        command = [sys.executable, "-X", "dev", "-W", "error", str(path)]
        pipe = subprocess.PIPE
        environment = {"PYTHONPATH": str(ROOT)}
        running[name] = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment)
    try:
        yield {name: Outcome(process.wait(DEADLINE), *process.communicate()) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_ends_in_silence(outcomes: dict[str, Outcome], program: str) -> None:
    """It reaches its last word, ends without hanging, and writes nothing on its standard error."""
    assert outcomes[program] == Outcome(0, "over", "")
