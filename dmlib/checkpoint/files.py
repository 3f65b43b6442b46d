"""A file is written whole or not at all, and a folder belongs to one process at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out there
    fcntl = None


class FolderError(OSError):
    """A folder cannot be used as it must be; the message says which, why, and what to try."""


def replace_whole(path: Path, data: bytes) -> None:
    """All of `data` or the file as it was: never half of it.

    Raises:
        FolderError: the disk is full, or the file may not be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise _explained(path, error) from error


def append(path: Path, text: str) -> None:
    """Add lines to the end of a file; FolderError if that cannot be done."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _explained(path, error) from error


def make_folder(folder: Path, *, room: int = 0) -> None:
    """Make the folder unless it is there, and try whether one can write into it.

    Args:
        folder: may be there.
        room: bytes that will be needed.

    Raises:
        FolderError: a file stands in its place, it may not be written to, or the disk is too full.
    """
    probe = folder / f".probe.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"?")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _explained(folder, error) from error
    if free < room:
        raise FolderError(
            f"{folder}: {room / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free on its "
            "disk; try: another folder, or make room"
        )


def clear_leftovers(folder: Path) -> None:
    """Remove what killed writes left behind; for whoever has the folder locked."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within, no other process gets in here; a crash leaves no lock behind, nor any file.

    The folder itself is locked (flock). Where the file system has no locks (Google Drive, Windows)
    nobody is kept out.

    Raises:
        FolderError: another process is in.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise FolderError(
                    f"{folder}: another process is training there; try: wait for it, or another "
                    "folder"
                ) from None
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """The folder's entry must reach the disk, too."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(path: Path, error: OSError) -> FolderError:
    reason = {
        errno.ENOSPC: "the disk is full; try: make room, or another folder",
        errno.EDQUOT: "the disk quota is used up; try: make room, or another folder",
        errno.EROFS: "the file system is read-only; try: another folder",
        errno.EACCES: "permission denied; try: another folder, or chmod u+w",
        errno.EEXIST: "a file stands in the folder's place; try: another folder, or move it away",
        errno.ENOTDIR: "a file stands in a folder's place; try: another folder, or move it away",
    }.get(error.errno, f"{error.strerror or error}; try: another folder")
    return FolderError(f"{path} cannot be written: {reason}")
