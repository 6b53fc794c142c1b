"""Files with credentials and certificates: read with bounds, and written so that no other user can read or replace them."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["UnusableFileError", "check_private", "path_of_content", "read_file", "stamp_of", "write_private"]

MAX_BYTES = 8 * 1024 * 1024
"""The most bytes of a kubeconfig or certificate file. The largest known bundles have less than 1 MiB."""
MAX_SECONDS = 0.5
"""Seconds to wait for the end of a pipe or device; a `stop()` may have to wait as long. Regular files have no such limit."""
_BAD_PATH = "its path has a character that a path cannot have"
_READ_SIZE = 256 * 1024
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class UnusableFileError(OSError):
    """A file is too large, never ends, or belongs to another user. `strerror` is the reason, `filename` the path."""


def read_file(path: str | os.PathLike[str], *, most: int = MAX_BYTES, within: float = MAX_SECONDS) -> bytes:
    """Reads a whole file, which may also be a pipe, as in `kubectl --kubeconfig <(command)`.

    A pipe without a writer counts as empty. So a pipe or device that an attacker puts in the file's place neither blocks the
    reader nor fills its memory.

    Args:
        path: the file.
        most: the most bytes that are accepted.
        within: seconds to wait at most for the end of a pipe or device.

    Raises:
        OSError: the file cannot be read, is larger, or does not end in time. `strerror` is the reason, without the path.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError:
        raise UnusableFileError(errno.EINVAL, _BAD_PATH, os.fspath(path)) from None
    try:
        return _read_all(descriptor, os.fspath(path), most, time.monotonic() + within)
    finally:
        os.close(descriptor)


def stamp_of(path: str) -> tuple[int, int, int]:
    """Returns three numbers that change with a file's content: its modification time, size and inode.

    Raises:
        OSError: the file does not exist or cannot be reached.
    """
    try:
        found = os.stat(path)
    except ValueError:
        raise UnusableFileError(errno.EINVAL, _BAD_PATH, path) from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_all(descriptor: int, path: str, most: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        try:
            piece = os.read(descriptor, _READ_SIZE)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                reason = "it is a pipe or device, and its content did not end in time"
                raise UnusableFileError(errno.EAGAIN, reason, path) from None
            continue
        size += len(piece)
        if size > most:
            raise UnusableFileError(errno.EFBIG, f"it has more than {most} bytes, the limit", path)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def check_private(folder: str | os.PathLike[str], descriptor: int | None = None) -> None:
    """Checks that a folder is this user's own, and that no other user can enter it.

    A program that cleans /tmp may delete a folder, and another user may then create one of the same name.

    Args:
        folder: the folder's path.
        descriptor: an open descriptor of the folder, which is checked instead of the path; None checks the path.

    Raises:
        OSError: the folder is missing, a symbolic link, not a folder, another user's, or open to other users.
    """
    found = os.fstat(descriptor) if descriptor is not None else os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        reason = "it was replaced: a temporary folder has to be this user's own and closed to others"
        raise UnusableFileError(errno.EPERM, reason, os.fspath(folder))


def write_private(path: str | os.PathLike[str], content: bytes | Iterable[bytes]) -> None:
    """Writes a file that no other user can read at any moment.

    Args:
        path: the file.
        content: its content, or the pieces of it.

    The content is written to a new file, which then replaces `path` in one step. A symbolic link at `path` is replaced, not
    followed. A program that has the old file open does not see the new content.

    Raises:
        OSError: the file cannot be written; what was at `path` stays.
        Exception: what the iterable raises; what was at `path` stays.
    """
    target = Path(path)
    while True:
        new = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        try:
            descriptor = os.open(new, _NEW_FILE, 0o600)
            break
        except FileExistsError:
            continue
    try:
        with open(descriptor, "wb") as file:
            file.writelines((content,) if isinstance(content, bytes) else content)
        os.replace(new, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


@contextlib.contextmanager
def path_of_content(content: bytes) -> Iterator[str]:
    """Returns a context in which bytes can be read from a path, for libraries that read keys and certificates only from files.

    On Linux the bytes stay in memory, and the path leads to a descriptor of this process. On other systems they are in a new
    file in a new folder, both for this user only, which are deleted at the end of the block.

    Raises:
        OSError: the disk is full, or another user has replaced the folder.
    """
    descriptor = _in_memory(content)
    if descriptor is None:
        with _in_new_folder(content) as path:
            yield path
        return
    try:
        yield _path_of(descriptor)
    finally:
        os.close(descriptor)


def _path_of(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _in_memory(content: bytes) -> int | None:
    """Returns a descriptor of an anonymous file with the content; None if the system has no such files, or no path to them."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("kube-informer")
    except OSError:
        return None
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    if os.access(_path_of(descriptor), os.R_OK):
        return descriptor
    os.close(descriptor)
    return None


@contextlib.contextmanager
def _in_new_folder(content: bytes) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="kube-informer-")
    path = os.path.join(folder, "content.pem")
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        check_private(folder, held)
        with open(os.open("content.pem", _NEW_FILE, 0o600, dir_fd=held), "wb") as file:
            file.write(content)
        yield path
    finally:
        # By the descriptor, since the path may lead to another user's folder by now.
        with contextlib.suppress(OSError):
            os.unlink("content.pem", dir_fd=held)
        os.close(held)
        with contextlib.suppress(OSError):
            os.rmdir(folder)
