"""Files with credentials against another user of the machine: pipes, devices, symbolic links, and a folder made anew."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from informer import files
from informer.files import UnusableFileError, check_private, path_of_content, read_file, write_private

SECRET = b"s3cr3t"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe without a writer."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.fixture
def silent_pipe(pipe: Path) -> Iterator[Path]:
    """A named pipe whose writer writes nothing."""
    descriptor = os.open(pipe, os.O_RDWR)
    yield pipe
    os.close(descriptor)


# Reading


def test_a_pipe_without_a_writer_is_empty(pipe: Path) -> None:
    """Opening the pipe does not wait for a writer."""
    assert read_file(pipe) == b""


def test_a_silent_pipe_ends_the_read(silent_pipe: Path) -> None:
    """The error comes in time and names the path and the reason."""
    begun = time.monotonic()
    with pytest.raises(UnusableFileError, match="its content did not end in time") as caught:
        read_file(silent_pipe)
    assert time.monotonic() - begun < 5
    assert caught.value.filename == str(silent_pipe)


def test_a_command_may_write_the_file_into_a_pipe(pipe: Path) -> None:
    """As in `kubectl --kubeconfig <(command)`: the bytes arrive in pieces, after the pipe was opened."""
    writer = os.open(pipe, os.O_RDWR)
    wants = threading.Event()

    def write() -> None:
        wants.wait(10)
        for _ in range(3):
            os.write(writer, b"x" * 50_000)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    wants.set()
    assert read_file(pipe, within=20) == b"x" * 150_000
    thread.join()


@pytest.mark.parametrize("most", [1, 1000, 3_000_000])
def test_a_file_without_an_end_is_refused(most: int) -> None:
    """The read stops at the limit, so that an endless file does not fill the memory."""
    with pytest.raises(UnusableFileError, match=f"more than {most} bytes, the limit"):
        read_file("/dev/zero", most=most)


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    """A file of exactly the limit is read; one more byte is an error."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 600_000)
    assert len(read_file(path, most=600_000)) == 600_000
    with pytest.raises(UnusableFileError):
        read_file(path, most=599_999)


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b"])
def test_a_path_that_no_file_can_have(path: str) -> None:
    """A path with a null character raises an OSError, like any other file that cannot be read."""
    for read in (read_file, files.stamp_of):
        with pytest.raises(UnusableFileError, match="has a character that a path cannot have"):
            read(path)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """A folder is refused, and no descriptor stays open."""
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(20):
        with pytest.raises(IsADirectoryError):
            read_file(tmp_path)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


# Writing


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """The file that it leads to, another user's or the victim's own, keeps its content and mode."""
    victim, path = tmp_path / "victim", tmp_path / "config"
    victim.write_bytes(b"precious")
    victim.chmod(0o644)
    path.symlink_to(victim)
    write_private(path, SECRET)
    assert (victim.read_bytes(), mode_of(victim)) == (b"precious", 0o644)
    assert (path.read_bytes(), mode_of(path), path.is_symlink()) == (SECRET, 0o600, False)


def test_a_link_into_nowhere_is_replaced(tmp_path: Path) -> None:
    """No file is created where the symbolic link leads."""
    path = tmp_path / "config"
    path.symlink_to(tmp_path / "elsewhere")
    write_private(path, SECRET)
    assert not (tmp_path / "elsewhere").exists()
    assert path.read_bytes() == SECRET


def test_a_program_that_opened_the_old_file_sees_nothing(tmp_path: Path) -> None:
    """Another user who has opened an old file of mode 0644 does not see the new content."""
    path = tmp_path / "config"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with path.open("rb") as waiting:
        write_private(path, SECRET)
        assert waiting.read() == b"old"
    assert mode_of(path) == 0o600


def test_a_file_is_private_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode is 0600 whatever the umask is, and no temporary file is left."""
    modes: list[int] = []
    real = os.open

    def opened(*args: Any, **options: Any) -> int:
        descriptor = real(*args, **options)
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    before = os.umask(0)
    try:
        write_private(tmp_path / "config", SECRET)
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert os.listdir(tmp_path) == ["config"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A failed write leaves no temporary file either."""
    path = tmp_path / "config"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(path, SECRET)
    assert os.listdir(tmp_path) == ["config"]


# Contents that a library reads from a file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, on a system without anonymous files."""
    monkeypatch.setattr(files, "_in_memory", lambda content: None)
    return folder


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no anonymous files")
def test_contents_are_in_no_folder(folder: Path) -> None:
    """Another user can neither delete, replace nor read them. They can be read more than once, from the beginning."""
    with path_of_content(SECRET) as path:
        assert [Path(path).read_bytes() for _ in range(2)] == [SECRET] * 2
        assert os.listdir(folder) == []
    assert not Path(path).exists()


def test_elsewhere_they_are_in_a_new_folder(on_disk: Path) -> None:
    """The folder and the file are for this user only, and deleted at the end of the block."""
    with path_of_content(SECRET) as path:
        assert Path(path).read_bytes() == SECRET
        assert (mode_of(Path(path)), mode_of(Path(path).parent)) == (0o600, 0o700)
    assert os.listdir(on_disk) == []


def made_open(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def made_a_link(folder: Path) -> None:
    target = folder.with_name("attackers")
    target.mkdir(mode=0o700, exist_ok=True)
    folder.symlink_to(target)


def made_by_another_user(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)


REMADE = pytest.mark.parametrize(
    "remake",
    [
        made_open,
        made_a_link,
        pytest.param(
            made_by_another_user, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
        ),
    ],
)


@REMADE
def test_a_folder_that_was_made_anew_gets_no_key(
    remake: Callable[[Path], None], on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that cleans /tmp has deleted the folder before its use, and another user has recreated it."""
    real = tempfile.mkdtemp

    def cleaned(*args: Any, **options: Any) -> str:
        made = real(*args, **options)
        os.rmdir(made)
        remake(Path(made))
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", cleaned)
    with pytest.raises(OSError), path_of_content(SECRET):
        pytest.fail("the folder was used")
    assert [path for path in on_disk.rglob("*") if path.is_file()] == []


def test_the_end_deletes_nothing_of_another_user(on_disk: Path) -> None:
    """If the folder was replaced during the block, the end of the block deletes nothing in the new one."""
    with path_of_content(SECRET) as path:
        folder = Path(path).parent
        folder.rename(folder.with_name("moved"))
        folder.mkdir()
        Path(path).write_bytes(b"theirs")
    assert Path(path).read_bytes() == b"theirs"
    assert os.listdir(on_disk / "moved") == []


@REMADE
def test_check_private_tells_such_a_folder(remake: Callable[[Path], None], tmp_path: Path) -> None:
    """The check also works by the path alone."""
    remake(tmp_path / "folder")
    with pytest.raises(
        UnusableFileError, match="it was replaced: a temporary folder has to be this user's own and closed to others"
    ):
        check_private(tmp_path / "folder")
    (tmp_path / "own").mkdir(mode=0o700)
    check_private(tmp_path / "own")
