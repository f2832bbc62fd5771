"""Calls that were sent, by number and by the stream entry that carries them."""

from collections.abc import Collection
from typing import TypeVar

from distexec.client.calls import Batch, CallState, PendingCall, Place
from distexec.scheduling.priorities import Priority
from distexec.wire.records import CallFlag

_Key = TypeVar("_Key")

#: A stream entry: its queue, and its number there.
Entry = tuple[str, int]


class Flight:
    """One executor's calls that were sent and are not settled. Its window has the lock."""

    def __init__(self) -> None:
        self.calls: dict[int, PendingCall] = {}
        self._entries: dict[Entry, list[PendingCall]] = {}
        self._last_entry: dict[str, int] = {}
        #: How many of the calls are in each queue, and have each priority.
        self.queues: dict[str, int] = {}
        self.priorities: dict[int, int] = {}
        #: When entries were sent whose calls had a choice of queues.
        self._chosen_at: dict[Entry, float] = {}
        #: Entries that somebody has taken, or that nothing overtakes.
        self._in_order: set[Entry] = set()
        #: How many of the calls are marked as short. Counted as they come and go: there may be
        #: tens of thousands, and the answer is needed for each call that is sent.
        self.short_count = 0

    def __len__(self) -> int:
        return len(self.calls)

    def send(self, calls: list[PendingCall], queue: str, now: float) -> Batch:
        """Put *calls* into one new entry of *queue*."""
        entry = self._last_entry[queue] = self._last_entry.get(queue, 0) + 1
        sent = CallState.SENT
        for call in calls:
            call.state, call.entry, call.started = sent, entry, False
            if call.flags & CallFlag.SHORT:
                self.short_count += 1
            self.calls[call.number] = call
        self._entries[queue, entry] = calls
        if len(calls[0].place.queues) > 1:
            self._chosen_at[queue, entry] = now
        priority = calls[0].place.priority
        self.queues[queue] = self.queues.get(queue, 0) + len(calls)
        self.priorities[priority] = self.priorities.get(priority, 0) + len(calls)
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
            self._in_order.discard(key)
            self._chosen_at.pop(key, None)
        _uncount(self.queues, call.queue)
        _uncount(self.priorities, call.place.priority)

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

    def entries_below(self, place: Place, urgency: int) -> list[Entry]:
        """The entries before which a call of *place* should go, each told once.

        Once only: what is still sent after a recall is in somebody's hands. And none of short
        calls: all that are sent take some tens of milliseconds, and would be sent again and again.
        """
        found = [
            entry
            for entry, calls in self._entries.items()
            if entry[0] in place.queues
            and entry not in self._in_order
            and not (calls[0].started or calls[0].flags & CallFlag.SHORT)
            and calls[0].place.priority < place.priority
            and _rank(calls[0]) < urgency
        ]
        self._in_order.update(found)
        return found

    def choices(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """The queues where calls with a choice do not run, as far as we know, and since when.

        Each with what they chose from.
        """
        oldest: dict[tuple[str, tuple[str, ...]], float] = {}
        for entry, sent_at in self._chosen_at.items():  # The oldest first.
            call = self._entries[entry][0]
            if not call.started:
                oldest.setdefault((call.queue, call.place.queues), sent_at)
        return oldest

    def entries_of(self, choices: Collection[tuple[str, tuple[str, ...]]]) -> list[Entry]:
        """The entries of such calls that do not run, as far as we know."""
        return [
            entry
            for entry in self._chosen_at
            if not (first := self._entries[entry][0]).started
            and (entry[0], first.place.queues) in choices
        ]

    def highest_unstarted(self) -> int | None:
        """The priority given to the most urgent call that does not run, as far as we know."""
        if len(self.priorities) == 1:
            return next(iter(self.priorities))
        unstarted = (calls[0] for calls in self._entries.values() if not calls[-1].started)
        return max((call.place.priority for call in unstarted), default=None)

    def clear(self) -> None:
        """Let go of everything, but not of the numbers: none is used twice."""
        for part in (self.calls, self._entries, self.queues, self.priorities):
            part.clear()
        self._in_order.clear()
        self._chosen_at.clear()
        self.short_count = 0


def _rank(call: PendingCall) -> int:
    """How urgent a sent call counts: nothing goes before one that had its share."""
    if call.effective is None:
        return call.place.priority
    return Priority.URGENT if call.effective.by_share else call.effective.value


def _uncount(counts: dict[_Key, int], key: _Key) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
