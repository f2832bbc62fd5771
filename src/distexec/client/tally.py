"""Counts of an executor's outstanding calls: those that wait for their turn, or are sent."""

from distexec.client.calls import PendingCall


class Tally:
    """What can be asked of many calls without looking at each. Its window has the lock."""

    def __init__(self) -> None:
        #: Calls that want a process for themselves.
        self.alone = 0
        #: By the running call of the same executor that submitted them.
        self.parents: dict[str, int] = {}

    def add(self, call: PendingCall) -> None:
        """Count a call that waits from now on."""
        if call.limits.flags:
            self.alone += 1
        if call.parent is not None:
            self.parents[call.parent] = self.parents.get(call.parent, 0) + 1

    def remove(self, call: PendingCall) -> None:
        """Count a call no more that neither waits nor is sent."""
        if call.limits.flags:
            self.alone -= 1
        if call.parent is not None:
            left = self.parents[call.parent] - 1
            if left:
                self.parents[call.parent] = left
            else:
                del self.parents[call.parent]

    def clear(self) -> None:
        """Count nothing."""
        self.alone = 0
        self.parents.clear()
