"""Whether two buffers hold the same bytes, as fast as memory allows."""

import hashlib
from typing import Any

from distexec.wire.blobs import BytesLike

#: A fingerprint looks at so many pieces of so many bytes, evenly spread, the ends included: 10 us
#: where all content would take 0.3 ms per MB to compare. It only says what is worth comparing.
_PIECES = 64
_PIECE_BYTES = 64


def fingerprint(content: memoryview) -> bytes:
    """A digest of a few samples and the length: different for different content, most likely."""
    size = len(content)
    digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    step = max(1, (size - _PIECE_BYTES) // (_PIECES - 1))
    for start in range(0, size, step):
        digest.update(content[start : start + _PIECE_BYTES])
    digest.update(content[-_PIECE_BYTES:])
    return digest.digest()


def are_equal(one: BytesLike, other: BytesLike) -> bool:
    """Compare every byte.

    50 MB take 7 ms on a quiet 2-core virtual machine, where SHA-256 takes 35 ms, pickling and a
    pipe 150 ms. Memory views would compare item by item, which takes four times as long.
    """
    if len(one) != len(other):
        return False
    memcmp = _memcmp()
    if memcmp is None:
        return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()
    result: bool = memcmp(one, other)
    return result


_found: Any = None


def _memcmp() -> Any:
    """The C library's, which does not hold the interpreter's lock; ``None`` where there is none."""
    global _found
    if _found is None:
        try:
            _found = _find_memcmp()
        except (ImportError, AttributeError, OSError, TypeError):  # The last on Windows.
            _found = False
    return _found or None


def _find_memcmp() -> Any:
    import ctypes

    class Buffer(ctypes.Structure):
        """CPython's ``Py_buffer``: how C sees a buffer, also one that must not be written to."""

        _fields_ = [
            ("address", ctypes.c_void_p),
            ("owner", ctypes.c_void_p),
            ("length", ctypes.c_ssize_t),
            ("item_size", ctypes.c_ssize_t),
            ("is_readonly", ctypes.c_int),
            ("dimensions", ctypes.c_int),
            ("format", ctypes.c_char_p),
            ("shape", ctypes.c_void_p),
            ("strides", ctypes.c_void_p),
            ("suboffsets", ctypes.c_void_p),
            ("internal", ctypes.c_void_p),
        ]

    get, release = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
    get.argtypes = [ctypes.py_object, ctypes.POINTER(Buffer), ctypes.c_int]
    release.argtypes, release.restype = [ctypes.POINTER(Buffer)], None
    memcmp = ctypes.CDLL(None).memcmp
    memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]

    def compare(one: BytesLike, other: BytesLike) -> bool:
        left, right = Buffer(), Buffer()
        get(one, left, 0)
        try:
            get(other, right, 0)
            try:
                return not memcmp(left.address, right.address, left.length)
            finally:
                release(right)
        finally:
            release(left)

    return compare
