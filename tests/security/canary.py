"""A pickle that tells when anybody loads it, and ways to put it where frames are read."""

import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distexec.settings import Settings
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link


class Canary:
    """Touches a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "canary"
        #: Plain, and as `distexec.wire.values` writes pickles that have buffers beside them.
        self.pickle = pickle.dumps(_Touch(str(self.path)))

    def is_silent(self) -> bool:
        """Whether nobody has unpickled it."""
        return not self.path.exists()


class _Touch:
    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


class Intruder:
    """Somebody who can write to the server, and does not know the cluster's secret."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._link = Link(endpoint, Settings())

    def run(self, *command: Any) -> Any:
        """Run one command, and return its answer, which may be an error."""
        return self._link.run(command)[0]

    def keys(self, pattern: str = "*") -> list[str]:
        """The names of keys."""
        return sorted(name.decode() for name in self.run("KEYS", pattern))

    def kind(self, key: str) -> str:
        """The type of a key, ``none`` if it does not exist."""
        return bytes(self.run("TYPE", key)).decode()

    def replace(self, key: str, kind: str, junk: bytes) -> None:
        """Put *junk* in place of what *key* holds, as another type."""
        self._link.run(("DEL", key), *writes(key, kind, junk))

    def add(self, key: str, junk: bytes) -> None:
        """Put *junk* beside what *key* holds."""
        self._link.run(*writes(key, self.kind(key), junk))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


#: Every type of the server's.
KINDS = ("string", "list", "set", "hash", "zset", "stream")


def writes(key: str, kind: str, junk: bytes) -> Iterator[Sequence[Any]]:
    """The commands that write *junk* into a key of that type, into each part that is read."""
    if kind == "string":
        yield "SET", key, junk
    elif kind == "list":
        yield "LPUSH", key, junk
        yield "RPUSH", key, junk
    elif kind == "set":
        yield "SADD", key, junk
    elif kind == "hash":
        yield "HSET", key, junk, junk
        yield "HSET", key, "frame", junk, "at", junk
    elif kind == "zset":
        yield "ZADD", key, 1, junk
    elif kind == "stream":
        yield "XADD", key, "*", junk, junk
        yield "XADD", key, "*", "f", junk
