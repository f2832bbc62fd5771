"""The parts that large values are made of, each by itself."""

import array
import os
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexec.client import compare
from distexec.client.depot import RECENT_COUNT, RECENT_SECONDS, Depot
from distexec.errors import FrameRejected
from distexec.store import blobs, files
from distexec.store.blobs import Content
from distexec.store.memory import MemoryServer
from distexec.store.memory_caller import MemoryCallerStore
from distexec.wire import payload
from distexec.wire.blobs import (
    BlobMissing,
    BlobRef,
    Mark,
    StoredResult,
    argument_name,
    digest_of,
    open_chunk,
    seal_chunks,
)
from distexec.wire.seal import Seal
from distexec.wire.values import pack_arguments, unpack_arguments
from distexec.worker.blobs import BlobCache

SEAL = Seal(b"k" * 32)

#: A busy machine is no failure.
FEW = settings(deadline=None, max_examples=40)


def ref_to(content: bytes, session: str = "abc") -> BlobRef:
    digest = digest_of((content,))
    return BlobRef(session, argument_name(digest), digest, len(content))


class Shelf:
    """Keeps content in a dictionary: a `Keeper` without a store."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytes] = {}

    def hold(self, content: memoryview, held: list[Any]) -> BlobRef:
        ref = ref_to(bytes(content))
        self.content[ref.name] = bytes(content)
        return ref

    def hold_marked(self, mark: Mark, held: list[Any]) -> BlobRef:
        return BlobRef.decode(mark)

    def fetch(self, ref: BlobRef) -> memoryview:
        return memoryview(self.content[ref.name])


buffers = st.binary(max_size=60)
values = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=60)
    | buffers
    | buffers.map(bytearray)
    | buffers.map(lambda data: array.array("B", data))
    | st.lists(st.floats(allow_nan=False), max_size=9).map(numpy.array),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """The same with what `==` can compare."""
    if isinstance(value, numpy.ndarray):
        return ("array", value.tolist(), value.flags.writeable)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return (type(value).__name__, value)


@FEW
@given(st.lists(values, max_size=3), st.dictionaries(st.text(max_size=3), values, max_size=2))
def test_arguments_arrive_whatever_travels_beside_them(
    args: list[Any], kwargs: dict[str, Any]
) -> None:
    """With limits so small that nearly everything does."""
    shelf = Shelf()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distexec.wire.values.OUT_OF_BAND_BYTES", 8)
        patch.setattr("distexec.wire.values.APART_ITEMS", 2)
        patch.setattr("distexec.wire.values.BESIDE_BYTES", 16)
        patch.setattr("distexec.wire.payload.BESIDE_BYTES", 16)

        packed = pack_arguments(tuple(args), kwargs, shelf)
        found, named = unpack_arguments(packed, shelf.fetch)

    assert (plain(found), plain(named)) == (plain(args), plain(kwargs))


@FEW
@given(values)
def test_a_split_result_is_put_together(value: Any) -> None:
    """What is unpickled goes one way, the buffers another."""
    parts = payload.pack([value, numpy.arange(3.0)])
    head, rest = payload.split(parts)
    stored = StoredResult.decode(StoredResult(ref_to(b""), head).encode())

    found = payload.unpack(stored.head, None, memoryview(bytearray(payload.join(rest))))

    assert plain(found) == plain([value, numpy.arange(3.0)])


@FEW
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_equal_is_what_has_the_same_bytes(one: bytes, other: bytes) -> None:
    """Read-only or not, and with the C library's help or without."""
    for find in (compare._memcmp, lambda: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compare, "_memcmp", find)
            assert compare.are_equal(one, bytearray(one))
            assert compare.are_equal(memoryview(one), other) == (one == other)
    if one == other:
        assert compare.fingerprint(memoryview(one)) == compare.fingerprint(memoryview(other))


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 4095, 100_000])
def test_a_fingerprint_sees_both_ends_and_the_length(size: int) -> None:
    """What grows at its end is the usual change."""
    data = bytearray(size)
    seen = {compare.fingerprint(memoryview(bytes(data)))}
    seen.add(compare.fingerprint(memoryview(bytes(size + 1))))
    for index in {0, size - 1} if size else ():
        data[index] ^= 1
        seen.add(compare.fingerprint(memoryview(bytes(data))))

    assert len(seen) == 2 + min(size, 2)


def test_a_chunk_opens_at_its_place_only() -> None:
    """Neither in another blob, nor as another part of the same."""
    content = os.urandom(2_500_000)
    ref, other = ref_to(content), ref_to(content[::-1])
    chunks = list(seal_chunks(SEAL, ref, memoryview(content)))

    found = [bytes(open_chunk(SEAL, ref, index, chunk)) for index, chunk in enumerate(chunks)]

    assert b"".join(found) == content
    assert [len(part) for part in found] == [2**20, 2**20, len(content) - 2**21]
    for wrong, index in ((ref, 1), (other, 0), (ref._replace(session="abd"), 0)):
        with pytest.raises(FrameRejected, match="signature"):
            open_chunk(SEAL, wrong, index, chunks[0])


@pytest.mark.parametrize("session", ["", "../up", "a/b", "a b", "\0"])
def test_a_reference_leads_to_no_other_folder(session: str) -> None:
    """Its session becomes part of a path."""
    with pytest.raises(FrameRejected):
        BlobRef.decode(ref_to(b"x", session).encode())


@pytest.mark.parametrize("size", [10, files.MAPPED_BYTES])
def test_a_blob_comes_from_the_server_where_no_file_is(tmp_path: Path, size: int) -> None:
    """And is missing if it is not there either."""
    content = os.urandom(size)
    ref = ref_to(content)
    chunks = list(seal_chunks(SEAL, ref, memoryview(content)))

    found = blobs.load(ref, tmp_path, lambda index: chunks[index], SEAL)

    assert found.view() == content
    found.close()
    with pytest.raises(BlobMissing):
        blobs.load(ref, tmp_path, lambda index: None, SEAL)


def test_a_cache_forgets_what_was_not_used_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that lives for weeks sees many values."""
    monkeypatch.setattr("distexec.worker.blobs.CACHE_BYTES", 30)
    cache, loads = BlobCache(), []

    def get(name: int, size: int = 10) -> None:
        def load() -> Content:
            loads.append(name)
            return Content(size, data=bytearray(size), file=None)

        cache.get(ref_to(b"%d" % name), load)

    for name in (1, 2, 3, 1, 4, 1, 2):
        get(name)
    assert loads == [1, 2, 3, 4, 2]
    get(5, 1000)
    get(5, 1000)
    assert loads[5:] == [5], "the last one stays, however large"


def test_a_depot_keeps_a_few_recent_values_for_some_seconds() -> None:
    """So that a loop of submit and result sends its array once; and no more than that."""
    server = MemoryServer()
    store = MemoryCallerStore(server, "abc")
    store.open()
    depot = Depot(store, SEAL, "abc", lambda: None)
    contents = [memoryview(bytes([n]) * 300_000) for n in range(RECENT_COUNT + 2)]

    for content in contents:
        held: list[Any] = []
        depot.hold(content, held)
        depot.send(held[0].value)
    del held
    for content, is_known in zip(contents[::-1], [True] * RECENT_COUNT, strict=False):
        again: list[Any] = []
        depot.hold(content, again)
        assert again[0].is_known is is_known
    del again
    used = depot._recent[next(iter(depot._recent))][1]
    depot.look_after(used)
    assert len(server.sessions["abc"].blobs) == RECENT_COUNT
    depot.look_after(used + RECENT_SECONDS + 60)
    depot.look_after(used + RECENT_SECONDS + 60)
    assert server.sessions["abc"].blobs == {}
    depot.close()
