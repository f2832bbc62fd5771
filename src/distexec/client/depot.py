"""Keeps what calls use beside them: each large value once, however many calls use it.

A value lives as long as something needs it: a handle, a call that is not settled, or the hope that
the next call brings the same again. Python counts the references; what nobody holds is removed on
the dispatcher's thread, since a finalizer may run anywhere and must take no lock.
"""

import contextlib
import logging
import os
import secrets
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from distexec.client.compare import are_equal, fingerprint
from distexec.errors import ClusterError, FrameRejected
from distexec.store import blobs, files
from distexec.store.caller_port import CallerStore
from distexec.wire.blobs import BlobRef, BytesLike, Mark, argument_name, digest_of
from distexec.wire.compression import Codec
from distexec.wire.payload import Parts, join, size_of
from distexec.wire.seal import Seal

logger = logging.getLogger(__name__)

#: What is kept in the hope that the next call uses it again: so many values of so many bytes at
#: most, and for so many seconds after the last use. A loop that submits and waits finds its array.
RECENT_COUNT = 8
RECENT_BYTES = 256 * 1024 * 1024
RECENT_SECONDS = 5.0


class StoredValue:
    """A blob that this caller keeps. Its content is a copy: the user's own may change."""

    __slots__ = (
        *("__weakref__", "_data", "_file", "_mapped", "_mapped_file", "_path"),
        *("depot", "is_on_server", "ref"),
    )

    def __init__(
        self,
        depot: "Depot",
        ref: BlobRef,
        *,
        path: Path | None = None,
        file: BinaryIO | None = None,
        data: bytes | None = None,
    ) -> None:
        self.depot, self.ref = depot, ref
        self._path, self._file, self._data = path, file, data
        #: The file in memory, once somebody has looked, and which file that was.
        self._mapped: memoryview | None = None
        self._mapped_file: tuple[int, int] | None = None
        #: Whether nodes get it from there. A file that all of them see need not be.
        self.is_on_server = path is not None

    def checked(self) -> BytesLike:
        """The bytes, to unpickle or to sign.

        Raises:
            OSError: Somebody removed the file.
            FrameRejected: Somebody changed it.
        """
        content = self.content()
        if self._path is not None and digest_of((content,)) != self.ref.digest:
            raise FrameRejected(f"blob: the content of {self._path} has changed")
        return content

    def content(self) -> BytesLike:
        """The bytes, to compare with. Not for anything else: the file is anybody's word.

        Raises:
            OSError: Somebody removed the file.
        """
        if self._data is not None:
            return self._data
        if self._file is not None:
            if self._mapped is None:
                self._mapped = files.read_only(self._file, self.ref.size)
            return self._mapped
        assert self._path is not None
        # It stays in memory: mapping 50 MB anew takes longer than comparing them.
        found = os.stat(self._path)
        if self._mapped is None or self._mapped_file != (found.st_ino, found.st_size):
            with open(self._path, "rb", buffering=0) as file:
                self._mapped = files.read_only(file, self.ref.size)
            self._mapped_file = found.st_ino, found.st_size
        return self._mapped

    def must_be_sent_again(self, *, seen: bool) -> None:
        """Note that the server has it no more; or that a node does not see our files (*seen*)."""
        if seen or self._path is None:
            self.is_on_server = False


class Use(NamedTuple):
    """A value that a call uses, and whether it was there already."""

    value: StoredValue
    is_known: bool


class Depot:
    """One session's values and results. Thread-safe.

    Args:
        notify: Lets the dispatcher's thread look at the clock; may be called by a finalizer.
        keep_alive: Says that the session lives, if it is time to. Called during long transfers,
            which the dispatcher's thread may do itself.
    """

    def __init__(
        self,
        store: CallerStore,
        seal: Seal,
        session: str,
        notify: Callable[[], None],
        keep_alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._seal, self._session = store, seal, session
        self._notify, self._keep_alive = notify, keep_alive
        #: Compresses what goes over the server.
        self.codec = Codec.NONE
        self._lock = threading.Lock()
        #: Held while something is put on the server, or removed from it.
        self._sending = threading.Lock()
        self._by_name: weakref.WeakValueDictionary[bytes, StoredValue] = (
            weakref.WeakValueDictionary()
        )
        self._by_print: weakref.WeakValueDictionary[bytes, StoredValue] = (
            weakref.WeakValueDictionary()
        )
        self._recent: OrderedDict[bytes, tuple[StoredValue, float]] = OrderedDict()
        #: Names of values that nobody holds any more, unless they were put again.
        self._dead: deque[bytes] = deque()
        self._folder: files.SessionFolder | None = None
        if store.blob_folder is not None:
            try:
                self._folder = files.SessionFolder(store.blob_folder, session)
            except OSError as error:
                logger.info("Large values go over the server: %s", error)

    # Values, for `distexec.wire.blobs.Keeper`.

    def hold(self, content: memoryview, held: "list[Use]") -> BlobRef:
        """Keep a large part of a call's arguments, as long as what is added to *held* lives."""
        use = self._hold(content)
        held.append(use)
        return use.value.ref

    def hold_marked(self, mark: Mark, held: "list[Use]") -> BlobRef:
        """Keep what a handle stands for, likewise."""
        value = mark.holder
        if not isinstance(value, StoredValue):
            # A handle that came to this process with a call: its caller keeps the value.
            return BlobRef.decode(mark)
        if value.depot is not self:
            return self.hold(memoryview(value.checked()), held)
        held.append(Use(value, True))
        return value.ref

    def put(self, parts: Parts) -> "Use":
        """Keep the payload of a value that the user put."""
        return self._keep(parts)

    def _hold(self, content: memoryview) -> "Use":
        mark = fingerprint(content)
        with self._lock:
            known = self._by_print.get(mark)
        if known is not None and self._has(known, content):
            self._touch(known)
            return Use(known, True)
        use = self._keep((content,))
        with self._lock:
            self._by_print[mark] = use.value
        self._touch(use.value)
        return use

    def _has(self, known: StoredValue, content: memoryview) -> bool:
        try:
            return are_equal(content, known.content())
        except OSError:
            return False

    def _keep(self, parts: Parts) -> "Use":
        size = size_of(parts)
        path, file, data = self._copy(parts, size)
        copy: BytesLike = data if data is not None else b""
        if file is not None:
            copy = files.read_only(file, size)
        elif path is not None:
            with open(path, "rb", buffering=0) as opened:
                copy = files.read_only(opened, size)
        # Of the copy: the user's own may change meanwhile, and then the two would not fit.
        digest = digest_of((copy,))
        ref = BlobRef(self._session, argument_name(digest), digest, size)
        with self._lock:
            known = self._by_name.get(ref.name)
            if path is not None:
                # Over a known one's too: somebody may have removed its file.
                path = path.replace(path.with_name(ref.name.hex()))
            if known is None:
                value = StoredValue(self, ref, path=path, file=file, data=data)
                self._by_name[ref.name] = value
                weakref.finalize(value, self._forget, ref.name, file).atexit = False
                return Use(value, False)
        if file is not None:
            file.close()
        return Use(known, True)

    def _copy(self, parts: Parts, size: int) -> tuple[Path | None, BinaryIO | None, bytes | None]:
        """Copy *parts* to where they stay: a file that nodes see, one of ours, or memory."""
        try:
            if self._folder is not None:
                path = self._folder.path / f"new-{secrets.token_hex(8)}"
                files.write_file(path, parts)
                return path, None, None
            if size >= files.MAPPED_BYTES:
                file = files.spool()
                files.write_parts(file.fileno(), parts)
                return None, file, None
        except OSError as error:
            logger.info("A large value stays in memory: %s", error)
        return None, None, join(parts)

    def _touch(self, value: StoredValue) -> None:
        with self._lock:
            self._recent[value.ref.name] = value, time.monotonic()
            self._recent.move_to_end(value.ref.name)
            size = sum(each.ref.size for each, _ in self._recent.values())
            while len(self._recent) > 1 and (
                size > RECENT_BYTES or len(self._recent) > RECENT_COUNT
            ):
                _, (dropped, _) = self._recent.popitem(last=False)
                size -= dropped.ref.size

    def _forget(self, name: bytes, file: BinaryIO | None = None) -> None:
        if file is not None:
            file.close()
        self._dead.append(name)
        self._notify()

    # The server.

    def send(self, value: StoredValue) -> None:
        """Put a value on the server, if nodes need it there.

        Raises:
            ClusterError: The server does not answer.
        """
        if value.is_on_server:
            return
        with self._sending:
            try:
                content = value.checked()
            except (OSError, FrameRejected) as error:
                logger.warning("A value is lost: %s", error)
            else:
                put = self._store.put_blob
                blobs.upload(value.ref, content, put, self._seal, self.codec, self._keep_alive)
            # If it is lost, who needs it will say so, and hear that.
            value.is_on_server = True

    def look_after(self, now: float) -> None:
        """Remove what nobody needs; at another time, if something is being sent.

        Raises:
            ClusterError: The server does not answer.
        """
        if self._sending.acquire(blocking=False):
            try:
                dead = self._take_dead(now)
                if dead:
                    self._store.drop_blobs(dead)
            finally:
                self._sending.release()

    def _take_dead(self, now: float) -> list[bytes]:
        with self._lock:
            for name, (_, used) in list(self._recent.items()):
                if now - used > RECENT_SECONDS:
                    del self._recent[name]
            dead = []
            while self._dead:
                name = self._dead.popleft()
                if name not in self._by_name:
                    dead.append(name)
                    if self._folder is not None:
                        self._folder.remove(name)
        return dead

    def server_was_emptied(self) -> None:
        """Send everything again that was there, when it is needed."""
        with self._lock:
            for value in list(self._by_name.values()):
                value.must_be_sent_again(seen=False)

    # What replies bring.

    def miss(self, name: bytes) -> bool:
        """Note that a node did not find a value; False if we cannot send it."""
        with self._lock:
            value = self._by_name.get(name)
        if value is None:
            return False
        try:
            value.checked()
        except (OSError, FrameRejected):
            return False
        value.must_be_sent_again(seen=True)
        return True

    def fetch(self, ref: BlobRef) -> memoryview:
        """Bring a result here, to be written to as well, and remove it there.

        Raises:
            BlobMissing: It is gone.
            FrameRejected: It is not what was signed.
            ClusterError: The server does not answer.
        """
        content = blobs.load(
            ref,
            None if self._folder is None else self._store.blob_folder,
            lambda index: self._store.blob(ref.name, index),
            self._seal,
        )
        view = content.view()
        content.close()
        self.drop(ref)
        return view

    def drop(self, ref: BlobRef) -> None:
        """Remove a result that was fetched, or that nobody waits for."""
        if self._folder is None or not self._folder.remove(ref.name):
            self._forget(ref.name)

    def close(self) -> None:
        """Remove everything; what the server cannot be told expires there."""
        with self._lock:
            self._recent.clear()
        with contextlib.suppress(ClusterError):
            self.look_after(time.monotonic())
        if self._folder is not None:
            self._folder.close()
