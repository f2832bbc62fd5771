"""`distexec.store.port.LetterStore` on Redis or Valkey."""

from collections.abc import Sequence

from distexec.settings import Settings
from distexec.store import keys
from distexec.store.link import Link, script
from distexec.store.port import Frame, LetterEntry

_KEYS = (keys.LETTER_TIMES, keys.LETTER_NOTES, keys.LETTER_CALLS)


class RedisLetterStore:
    """A cluster's dead letters, over a connection that somebody else opens and closes."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self._link = link
        self._bounds = (
            round(settings.dead_letter_expiry_seconds),
            round(settings.most_dead_letters),
            round(settings.dead_letters_bytes),
        )

    def keep(self, letter: str, note: Frame, call: Frame) -> None:
        self._link.call(*script("keep_letter").call(_KEYS, letter, note, call, *self._bounds))

    def letters(self) -> list[LetterEntry]:
        expiry = self._bounds[0]
        found = self._link.call(*script("letters").call(_KEYS[:2], expiry))
        return [
            LetterEntry(found[n].decode(errors="replace"), float(found[n + 1]), found[n + 2])
            for n in range(0, len(found), 3)
        ]

    def call(self, letter: str) -> Frame | None:
        frame: Frame | None = self._link.call("HGET", keys.LETTER_CALLS, letter)
        return frame

    def drop(self, letters: Sequence[str]) -> int:
        if not letters:
            return 0
        removed, *_ = self._link.run(
            ("ZREM", keys.LETTER_TIMES, *letters),
            ("HDEL", keys.LETTER_NOTES, *letters),
            ("HDEL", keys.LETTER_CALLS, *letters),
        )
        return int(removed)
