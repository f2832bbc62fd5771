"""Write a whole set of files, or none: staged beside their targets, then renamed."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass


class WriteFailed(Exception):
    """Nothing was written; the message names the file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason


@dataclass(frozen=True, slots=True)
class Change:
    """The bytes that a file must still have, and those that it gets."""

    old: bytes
    new: bytes


def write_all(changes: Mapping[str, Change]) -> None:
    """Replace the content of every file, keeping links, permissions and owners.

    Raises:
        WriteFailed: A file cannot be written, or was changed since it was read; all are as before.
    """
    staged: dict[str, str] = {}
    done: list[str] = []
    targets = {path: os.path.realpath(path) for path in changes}
    try:
        for path, change in changes.items():
            staged[path] = _stage(path, targets[path], change)
        for path in changes:
            os.replace(staged[path], targets[path])
            done.append(path)
    except BaseException as error:
        for path in done:
            _restore(targets[path], changes[path].old)
        for path, temporary in staged.items():
            if path not in done:
                _remove(temporary)
        if isinstance(error, OSError):
            raise WriteFailed(error.filename or "", error.strerror or str(error)) from error
        raise


def _stage(path: str, target: str, change: Change) -> str:
    with open(target, "rb") as file:
        if file.read() != change.old:
            raise WriteFailed(path, "it was changed by someone else meanwhile")
    if not os.access(target, os.W_OK):
        raise WriteFailed(path, "permission denied")
    state = os.stat(target)
    descriptor, temporary = tempfile.mkstemp(prefix=".distexec-", dir=os.path.dirname(target))
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(change.new)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, state.st_mode & 0o7777)
        if hasattr(os, "chown") and (state.st_uid, state.st_gid) != (os.getuid(), os.getgid()):
            os.chown(temporary, state.st_uid, state.st_gid)
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def _restore(target: str, old: bytes) -> None:
    try:
        with open(target, "wb") as file:
            file.write(old)
    except OSError:
        pass


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
