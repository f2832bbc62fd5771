"""`distexec.store.port.HistoryStore` on Redis or Valkey."""

from collections.abc import Iterable

from distexec.store import keys
from distexec.store.answers import read_text
from distexec.store.link import Link, script
from distexec.store.port import HISTORY_SECONDS, MOST_HISTORY, Frame, KeyDamaged, Memory


class RedisHistoryStore:
    """A cluster's history, over a connection that somebody else opens and closes."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self) -> list[Memory]:
        try:
            fields = self._link.call("HGETALL", keys.HISTORY)
        except KeyDamaged:
            return []  # The next one to remember something mends it.
        found = []
        for name, record in zip(fields[::2], fields[1::2], strict=True):
            at, _, frame = bytes(record).partition(b" ")
            try:
                found.append(Memory(read_text(name), float(at), frame))
            except ValueError:  # None of ours.
                continue
        return found

    def write(self, records: Iterable[tuple[str, Frame]]) -> None:
        arguments = [part for record in records for part in record]
        if arguments:
            limits = HISTORY_SECONDS, MOST_HISTORY
            self._link.call(*script("remember").call([keys.HISTORY], *limits, *arguments))
