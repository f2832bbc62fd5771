"""Frames are checked before they are looked into, and unpickled at one place only."""

import ast
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import distexec
from distexec.errors import FrameRejected
from distexec.wire.codec import decode_calls, decode_replies, encode_calls, encode_replies
from distexec.wire.records import Envelope, Reply, ReplyKind
from distexec.wire.seal import Direction, Seal

SEAL = Seal(b"a secret of thirty-two bytes.....")
PLACE = b"call|session|1|queue|7"

CALLS = encode_calls(
    [Envelope(n, b"function" * 2, 1, 0, bytes(range(n % 256))) for n in (0, 1, 2**40, 255)]
)
REPLIES = encode_replies(
    [Reply(n, kind, 1, 0.5, 0.25, b"payload" * n) for n, kind in enumerate(ReplyKind)]
)
BODIES: list[tuple[bytes, Callable[[bytes], object]]] = [
    (b"".join(CALLS), decode_calls),
    (b"".join(REPLIES), decode_replies),
]

SEED = 20_260_101


def mutations(original: bytes, other: bytes, count: int, seed: int) -> Iterator[bytes]:
    """*original* with bytes changed, removed, added, repeated, or exchanged with *other*'s."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(original)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            at = rng.randrange(len(data) + 1)
            to = min(len(data), at + rng.choice((1, 1, 2, 4, 8, 40)))
            match rng.randrange(6):
                case 0:
                    data[at:to] = rng.randbytes(to - at)
                case 1:
                    del data[at:to]
                case 2:
                    data[at:at] = rng.randbytes(rng.choice((1, 4, 8)))
                case 3:
                    data[at:at] = data[at:to]
                case 4:
                    start = rng.randrange(len(other))
                    data[at:to] = other[start : start + to - at]
                case 5:
                    # Lengths and counts are where decoders break.
                    number = rng.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1))
                    data[at : at + 8] = struct.pack("!Q", number)
        yield bytes(data)


def fuzz_frames(count: int, seed: int) -> int:
    """Open mutations of good frames; return how many were refused."""
    frames = [SEAL.seal(Direction.CALL, PLACE, body) for body, _ in BODIES]
    refused = 0
    for frame, other in (frames, frames[::-1]):
        for mutant in mutations(frame, other, count // 2, seed):
            try:
                opened = SEAL.open(Direction.CALL, PLACE, mutant)
            except FrameRejected:
                refused += 1
            else:
                assert mutant in frames and bytes(opened) in (BODIES[0][0], BODIES[1][0])
    return refused


def fuzz_bodies(count: int, seed: int) -> int:
    """Decode mutations of good bodies, as if a thief of the secret had signed them."""
    refused = 0
    for (body, decode), (other, _) in zip(BODIES, BODIES[::-1], strict=True):
        for mutant in mutations(body, other, count // 2, seed):
            try:
                decode(mutant)
            except FrameRejected:
                refused += 1
    return refused


def test_mutated_frames_are_refused_and_nothing_else() -> None:
    """A short run with a seed; the long one is below."""
    assert fuzz_frames(6_000, SEED) > 5_900
    assert fuzz_bodies(6_000, SEED) > 3_000


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_million_mutated_frames_are_refused() -> None:
    """Half of them damaged on their way, half of them signed."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")

    assert fuzz_frames(500_000, seed) > 490_000
    assert fuzz_bodies(500_000, seed) > 250_000


def test_every_single_byte_of_a_frame_counts() -> None:
    """All 255 other values of each byte of a real batch, header and signature included."""
    frame = SEAL.seal(Direction.CALL, PLACE, b"".join(encode_calls([CALL])))
    accepted = []

    for position in range(len(frame)):
        damaged = bytearray(frame)
        for value in range(256):
            damaged[position] = value
            try:
                SEAL.open(Direction.CALL, PLACE, damaged)
            except FrameRejected:
                continue
            accepted.append((position, value))

    assert accepted == [(position, byte) for position, byte in enumerate(frame)]


CALL = Envelope(1, b"function" * 2, 1, 0, b"payload")


# Where pickles are loaded -------------------------------------------------------------------------

SOURCES = Path(distexec.__file__).parent

#: Calls that run what they are given, by the last part of their name.
LOADERS = {"loads", "load", "Unpickler", "eval", "exec", "_loads"}
#: What else has ``load`` or ``loads``: these run nothing of what they read.
HARMLESS = {"json", "tomllib", "secret", "blobs"}
#: Where a loader could be imported from by its name, and what nobody may import.
LIBRARIES = {"pickle", "cloudpickle", "_pickle"}
FORBIDDEN = {"marshal", "shelve", "dill", "_pickle"}
WORDS = (*LOADERS, *FORBIDDEN)
#: Who may call the one unpickler: the modules that know what a payload is.
CALLERS = {"wire/values.py", "wire/payload.py", "wire/exceptions.py"}
#: The checker runs the user's program in one process, and loads what it has just pickled itself.
CHECKER = "check/"


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Each module of ours that mentions one of the words above."""
    for path in sorted(SOURCES.rglob("*.py")):
        name, text = path.relative_to(SOURCES).as_posix(), path.read_text()
        if not name.startswith((CHECKER, "migrate/")) and any(word in text for word in WORDS):
            yield name, ast.parse(text)


def test_pickles_are_loaded_at_one_place() -> None:
    """Whoever reviews what is unpickled looks at one line, and at who leads there."""
    loaded, importers = [], set()
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                module, _, function = ast.unparse(node.func).rpartition(".")
                if function in LOADERS and module not in HARMLESS:
                    loaded.append((name, f"{module}.{function}".lstrip(".")))
            elif isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                if "_loads" in names or (node.module in LIBRARIES and names & LOADERS):
                    importers.add(name)
            elif isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & FORBIDDEN, name

    loaded = [call for call in loaded if call[1] != "load"]  # A name of its module's own.
    assert [call for call in loaded if call[1] != "_loads"] == [
        ("wire/pickling.py", "pickle.loads")
    ]
    assert {name for name, called in loaded if called == "_loads"} == CALLERS == importers
