"""A few words of memory that a node shares with its children."""

import mmap

from distexec.wire.refusals import Refusals

_DRAINING, _IS_WANTED, _SLOTS, _REFUSED = range(4)


class Flags:
    """Anonymous shared memory, inherited by fork: reading it costs no system call."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("I")

    @property
    def draining(self) -> bool:
        """Whether the node ends: every lease gives its slot back."""
        return bool(self._words[_DRAINING])

    @draining.setter
    def draining(self, value: bool) -> None:
        self._words[_DRAINING] = value

    @property
    def slots_wanted(self) -> bool:
        """Whether tasks of the application that lends the slots wait for one."""
        return bool(self._words[_IS_WANTED])

    @slots_wanted.setter
    def slots_wanted(self, value: bool) -> None:
        self._words[_IS_WANTED] = value

    @property
    def slots(self) -> int:
        """How many slots the node has."""
        return self._words[_SLOTS]

    @slots.setter
    def slots(self, value: int) -> None:
        self._words[_SLOTS] = value

    @property
    def refused(self) -> int:
        """How many frames and messages the node and its children put aside."""
        return self._words[_REFUSED]

    def count_refused(self) -> None:
        """Add one. Two processes at the same moment may be counted as one."""
        self._words[_REFUSED] = (self._words[_REFUSED] + 1) & 0xFFFFFFFF


#: Of the node that this process is or is a child of; a supervisor keeps them for the next node.
current = Flags()

#: What a node and each of its children put aside.
refusals = Refusals(current.count_refused)
