"""Large values in a worker: fetched once per process, and large results beside their replies."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from distexec.errors import FrameRejected
from distexec.store import blobs
from distexec.store.blobs import Content
from distexec.store.lease_port import LeaseStore
from distexec.wire.blobs import UNHASHED, BlobMissing, BlobRef, StoredResult, digest_of, result_name
from distexec.wire.compression import Codec
from distexec.wire.payload import Parts, join, size_of, split
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Seal

#: Bytes of values that a process keeps for the calls to come, and how many. The last one stays,
#: however large: the next call most likely uses it as well.
CACHE_BYTES = 512 * 1024 * 1024
CACHE_COUNT = 128


class BlobCache:
    """The values that this process has fetched, by their digest. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Content] = OrderedDict()
        self._bytes = 0

    def get(self, ref: BlobRef, load: Callable[[], Content]) -> memoryview:
        """Return the blob, as it was sent whatever earlier calls did to theirs.

        Raises:
            BaseException: By *load*.
        """
        # Held while loading: two threads that need the same value fetch it once.
        with self._lock:
            content = self._known.get(ref.digest)
            if content is None:
                content = self._known[ref.digest] = load()
                self._bytes += content.size
                self._make_room()
            else:
                self._known.move_to_end(ref.digest)
            view = content.view()
        # A small one is shared, and copied for whoever may write to it.
        return view if content.is_mapped else view.toreadonly()

    def _make_room(self) -> None:
        while len(self._known) > 1 and (
            self._bytes > CACHE_BYTES or len(self._known) > CACHE_COUNT
        ):
            _, content = self._known.popitem(last=False)
            self._bytes -= content.size
            content.close()

    def clear(self) -> None:
        """Forget everything. What calls use now stays theirs."""
        with self._lock:
            for content in self._known.values():
                content.close()
            self._known.clear()
            self._bytes = 0


#: This process's: leases come and go, and often the next one is the same executor's.
cache = BlobCache()


class LeaseBlobs:
    """What a lease does with the blobs of its session's calls."""

    def __init__(
        self,
        store: LeaseStore,
        seal: Seal,
        session: str,
        refusals: Refusals,
        codec: Codec,
    ) -> None:
        self._store, self._seal, self._session = store, seal, session
        self._refusals, self._codec = refusals, codec

    def fetch(self, ref: BlobRef) -> memoryview:
        """Bring what a call's payload refers to.

        Raises:
            BlobMissing: Its caller has to send it again.
            ClusterError: The server does not answer.
        """
        return cache.get(ref, lambda: self._load(ref))

    def _load(self, ref: BlobRef) -> Content:
        def chunk(index: int) -> bytes | None:
            return self._store.blob(ref.session, ref.name, index)

        try:
            return blobs.load(ref, self._store.blob_folder, chunk, self._seal)
        except FrameRejected as error:
            self._refusals.note("A stored value", error)
            raise BlobMissing(ref) from error

    def keep(self, parts: Parts) -> StoredResult:
        """Put a large result where its caller finds it. If that is gone, it expires.

        Raises:
            ClusterError: The server does not answer.
        """
        head, rest = split(parts)
        digest = UNHASHED if head else digest_of(rest)
        ref = BlobRef(self._session, result_name(), digest, size_of(rest))
        if not blobs.put_file(ref, self._store.blob_folder, rest):
            blobs.upload(ref, join(rest), self._store.put_blob, self._seal, self._codec)
        return StoredResult(ref, head)
