"""What ``--write`` replaced, kept in the user's cache, so that ``--revert`` can be exact.

The way back by syntax alone cannot know whether ``import distexec as futures`` was
``from concurrent import futures`` or ``import concurrent.futures as futures``. A file that still is
what we wrote becomes again what we read; one that was edited since, or came from another machine,
is reverted by syntax.
"""

import hashlib
import os
import zlib
from pathlib import Path

#: Originals kept; the oldest go first. A few kB each.
_MOST = 5_000


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base, "distexec", "migrate")


def _place(written: bytes) -> Path:
    return _folder() / (hashlib.sha256(written).hexdigest() + ".z")


def remember(original: bytes, written: bytes) -> None:
    """Keep *original* until *written* is to be reverted; without a usable cache, do nothing."""
    place = _place(written)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = place.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(zlib.compress(original))
        temporary.replace(place)
        kept = sorted(place.parent.glob("*.z"), key=lambda path: path.stat().st_mtime)
        for old in kept[:-_MOST]:
            old.unlink(missing_ok=True)
    except OSError:
        return


def recall(written: bytes) -> bytes | None:
    """What *written* was before, if we wrote it on this machine."""
    try:
        return zlib.decompress(_place(written).read_bytes())
    except (OSError, zlib.error):
        return None
