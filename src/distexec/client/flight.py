"""Calls that were sent, by number and by the stream entry that carries them."""

from distexec.client.calls import Batch, CallState, PendingCall
from distexec.wire.records import CallFlag

#: A stream entry: its queue, and its number there.
Entry = tuple[str, int]


class Flight:
    """One executor's calls that were sent and are not settled. Its window has the lock."""

    def __init__(self) -> None:
        self.calls: dict[int, PendingCall] = {}
        self._entries: dict[Entry, list[PendingCall]] = {}
        self._last_entry: dict[str, int] = {}
        #: How many of the calls are marked as short. Counted as they come and go: there may be
        #: tens of thousands, and the answer is needed for each call that is sent.
        self.short_count = 0

    def __len__(self) -> int:
        return len(self.calls)

    def send(self, calls: list[PendingCall], queue: str) -> Batch:
        """Put *calls* into one new entry of *queue*."""
        entry = self._last_entry[queue] = self._last_entry.get(queue, 0) + 1
        sent = CallState.SENT
        for call in calls:
            call.state, call.entry, call.started = sent, entry, False
            if call.flags & CallFlag.SHORT:
                self.short_count += 1
            self.calls[call.number] = call
        self._entries[queue, entry] = calls
        return Batch(queue, entry, calls)

    def leave(self, call: PendingCall) -> None:
        """Take *call* out of what is sent, and out of its entry."""
        del self.calls[call.number]
        if call.flags & CallFlag.SHORT:
            self.short_count -= 1
        key = call.queue, call.entry
        siblings = self._entries[key]
        siblings.remove(call)
        if not siblings:
            del self._entries[key]

    def leave_entry(self, entry: Entry) -> list[PendingCall]:
        """Take out what is left of an entry."""
        calls = self._entries.get(entry, [])[:]
        for call in calls:
            self.leave(call)
        return calls

    def entries(self) -> list[Entry]:
        """All entries, in the order in which they were sent."""
        return list(self._entries)

    def entries_younger(self, spared: int) -> list[Entry]:
        """The entries whose calls are all younger than the *spared* oldest calls."""
        oldest = [self.calls[number] for number in sorted(self.calls)[:spared]]
        kept = {(call.queue, call.entry) for call in oldest}
        return [entry for entry in self._entries if entry not in kept]

    def clear(self) -> None:
        """Let go of everything, but not of the numbers: none is used twice."""
        self.calls.clear()
        self._entries.clear()
        self.short_count = 0
