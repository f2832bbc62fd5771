"""Blobs as files, where caller and node are on the same machine and share a private folder.

::

    CLUSTER'S FOLDER/blobs/SESSION/NAME          0700 down to the session, 0600 the files

A cluster's folder is removed by its guard, however the cluster ends. A session's folder in it is
locked by its caller, and removed by it; a node removes those whose lock is free. Results that no
caller fetched are removed by their age.

Content is mapped into memory, privately: whoever writes to what is mapped has a page of his own.
"""

import mmap
import os
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from distexec.store.endpoint import BLOB_FOLDER, Endpoint
from distexec.wire.blobs import RESULT, BytesLike

try:
    import fcntl
except ImportError:  # Windows, where nothing is shared: a caller there has no Unix sockets.
    fcntl = None  # type: ignore[assignment]

#: Bytes from which content is mapped and not read. Mapping costs a descriptor as long as the
#: content is used (before Python 3.13), and a page fault for each 64 KB that are looked at.
MAPPED_BYTES = 4 * 1024 * 1024

#: Seconds that a folder without a lock is left alone: its caller may be about to lock it.
YOUNG_SECONDS = 10.0


def shared_folder(endpoint: Endpoint) -> Path | None:
    """The folder for blobs of a cluster on this machine; ``None`` if there is none, or not ours."""
    if endpoint.folder is None or fcntl is None:
        return None
    folder = endpoint.folder / BLOB_FOLDER
    try:
        status = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
    return folder if private and status.st_uid == os.geteuid() else None


def path_of(folder: Path, session: str, name: bytes) -> Path:
    """Where a session's blob is."""
    return folder / session / name.hex()


def write_parts(descriptor: int, parts: Sequence[BytesLike]) -> None:
    """Write all of *parts*, without joining them first.

    Raises:
        OSError: There is no room.
    """
    with open(descriptor, "wb", closefd=False) as file:
        file.writelines(parts)


def write_file(path: Path, parts: Sequence[BytesLike]) -> None:
    """Write a new file that only we can read, or none.

    Raises:
        OSError: There is no room, or no such folder.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_parts(descriptor, parts)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def open_file(path: Path, size: int) -> BinaryIO | None:
    """Open a file of ours that has this size; ``None`` if there is none."""
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115  # the caller closes it
    except OSError:
        return None
    status = os.fstat(file.fileno())
    if status.st_size != size or status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
        file.close()
        return None
    return file


def spool() -> BinaryIO:
    """A file without a name: it is gone when it is closed, and when its process ends."""
    import tempfile

    return tempfile.TemporaryFile(buffering=0)


def read_only(file: BinaryIO, size: int) -> memoryview:
    """The content of *file*, to look at; it stays valid when *file* is closed."""
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)) if size else _EMPTY


def read(file: BinaryIO, size: int) -> bytearray:
    """The content of *file*, copied."""
    content = bytearray(size)
    done = 0
    while done < size and (count := os.preadv(file.fileno(), [memoryview(content)[done:]], done)):
        done += count
    return content


def private(file: BinaryIO, size: int) -> memoryview:
    """The content of *file*, to write to as well: nobody else sees that."""
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY))


_EMPTY = memoryview(b"")


class SessionFolder:
    """The caller's side of a shared folder.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, folder: Path, session: str) -> None:
        self.path = folder / session
        self._pid = os.getpid()
        self.path.mkdir(mode=0o700)
        self._lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self, name: bytes) -> bool:
        """Remove a file; False if it is not there."""
        try:
            os.unlink(self.path / name.hex())
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Remove the folder with what is in it. What somebody has mapped stays for him."""
        if os.getpid() == self._pid:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)


def sweep(folder: Path, keep_seconds: float) -> None:
    """Remove what callers left behind that are gone, and what nobody fetched.

    Args:
        keep_seconds: Age from which a result is not fetched any more.
    """
    now = time.time()
    for session in _listed(folder):
        try:
            if now - session.stat().st_mtime > YOUNG_SECONDS and _is_free(session):
                shutil.rmtree(session, ignore_errors=True)
                continue
            for file in _listed(session):
                if file.name.startswith(RESULT.hex()) and now - file.stat().st_mtime > keep_seconds:
                    file.unlink()
        except OSError:
            continue  # Somebody else was faster.


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_free(folder: Path) -> bool:
    """Whether nobody holds the lock of a session's folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
