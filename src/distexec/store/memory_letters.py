"""`distexec.store.port.LetterStore` in memory."""

import threading
import time
from collections.abc import Sequence

from distexec.settings import Settings
from distexec.store.port import Frame, LetterEntry


class MemoryLetterStore:
    """The dead letters of a process: they end with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        #: The oldest first.
        self._letters: dict[str, tuple[LetterEntry, Frame]] = {}

    def keep(self, letter: str, note: Frame, call: Frame) -> None:
        with self._lock:
            self._letters.pop(letter, None)
            self._letters[letter] = LetterEntry(letter, time.time(), note), call
            self._drop_expired()
            settings = self._settings
            while len(self._letters) > 1 and (
                len(self._letters) > settings.most_dead_letters
                or self._bytes() > settings.dead_letters_bytes
            ):
                del self._letters[next(iter(self._letters))]

    def _bytes(self) -> int:
        return sum(len(call) for _, call in self._letters.values())

    def _drop_expired(self) -> None:
        oldest = time.time() - self._settings.dead_letter_expiry_seconds
        for entry, _ in list(self._letters.values()):
            if entry.kept_at <= oldest:
                del self._letters[entry.letter]

    def letters(self) -> list[LetterEntry]:
        with self._lock:
            self._drop_expired()
            return [entry for entry, _ in self._letters.values()]

    def call(self, letter: str) -> Frame | None:
        with self._lock:
            found = self._letters.get(letter)
            return None if found is None else found[1]

    def drop(self, letters: Sequence[str]) -> int:
        with self._lock:
            return sum(self._letters.pop(letter, None) is not None for letter in letters)
