"""`distexec.store.lease_port.LeaseStore` on Redis or Valkey."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from distexec.settings import Settings
from distexec.store import keys
from distexec.store.answers import read_asker, read_time
from distexec.store.endpoint import Endpoint
from distexec.store.files import shared_folder
from distexec.store.lease_port import Asking, Bid, Parcel
from distexec.store.link import Command, Link, ServerError, script
from distexec.store.port import ExecutorRef, Frame, Held, KeyDamaged

#: Seconds after a reconnection in which the server may still answer the old connection, which it
#: does not know to be closed: longer than a `take` waits there.
LOOK_BACK_SECONDS: Final = 1.0

#: Seconds that a look takes at most where it does not have to wait.
AT_ONCE_SECONDS: Final = 0.0001

#: Seconds until a lease asks again that found an older entry reserved by another one, which is
#: about to start it.
IN_TURN_SECONDS: Final = 0.0005

#: Seconds after which the number of executors that ask for a queue is read anew.
ASKING_SECONDS: Final = 0.02


class RedisLeaseStore:
    """One slot's side: a connection that waits for calls, and one for everything else."""

    def __init__(self, endpoint: Endpoint, node: str, settings: Settings) -> None:
        self._node, self._pid = node, os.getpid()
        self._key_expiry = round(settings.key_expiry_seconds * 1000)
        self._node_expiry = round(settings.node_expiry_seconds * 1000)
        self.blob_folder: Path | None = shared_folder(endpoint)
        self._link = Link(endpoint, settings)
        self._taker = Link(endpoint, settings)
        self._ref = ExecutorRef("", "")
        self._lease = self._leases = self._calls = self._replies = self._demand = ""
        self._queue = self._order = ""
        #: Entries taken and not finished.
        self._held: set[int] = set()
        #: The last entry that was given back. It is this lease's still until another one takes it.
        self._given_back = 0
        self._opened = 0
        self._look_back_until = 0.0
        self.asking, self._asking_due = 0, 0.0
        #: Whether the last look found nothing at once, and what the next one was sent as by then.
        self._was_empty = False
        self._sent_ahead: tuple[Command, ...] = ()
        #: Whether others may count on it to ask before it waits on the stream: see `_look_in_turn`.
        self._asks_first = True
        #: Whether an older entry than those it may take was reserved when it asked last.
        self._must_wait = False

    def demands(self, queue: str, most: int) -> tuple[float, list[Asking]]:
        try:
            fields = self._link.call("HRANDFIELD", keys.demand(queue), most, "WITHVALUES")
        except KeyDamaged:
            self._link.call("DEL", keys.demand(queue))
            raise
        found: list[tuple[ExecutorRef, Frame]] = []
        foreign: list[Asking] = []
        for field, frame in zip(fields[::2], fields[1::2], strict=True):
            ref, is_ours = read_asker(field)
            if is_ours:
                found.append((ref, frame))
            else:
                foreign.append(Asking(ref, frame, 0, 0))
        looks: list[Command] = [("TIME",)]
        for ref, _ in found:
            looks.append(("EXISTS", keys.session(ref.session)))
            looks.append(("HLEN", keys.leases(ref)))
            looks.append(("XLEN", keys.calls(ref, queue)))
        clock, *answers = self._link.run(*looks)
        asking = []
        for (ref, frame), lives, *counts in zip(
            found, answers[::3], answers[1::3], answers[2::3], strict=True
        ):
            if lives:
                # What others wrote over its caller mends, and sends anew.
                leases, entries = (0 if isinstance(n, ServerError) else int(n) for n in counts)
                asking.append(Asking(ref, frame, leases, entries))
            else:
                self.withdraw(queue, ref)
        return read_time(clock), foreign + asking

    def withdraw(self, queue: str, ref: ExecutorRef) -> None:
        field = f"{ref.session} {ref.executor}".encode(errors="surrogateescape")
        # A field of somebody else's may have no space in it.
        self._link.call("HDEL", keys.demand(queue), field, field.rstrip(b" "))

    def admit(self, bid: Bid) -> bool:
        if not self._admit(bid, ""):
            return False
        self.turn(bid.ref, bid.queue, bid.lease)
        return True

    def claim(self, bid: Bid) -> bool:
        return self._admit(bid, keys.GROUP)

    def _admit(self, bid: Bid, group: str) -> bool:
        ref, queue, lease, limit, wanted, share = bid
        # The node first: its death must find every lease, and an unused note does no harm.
        register = script("register").call(
            [keys.node_leases(self._node), keys.node_record(self._node)],
            *(lease, f"{self._pid} {ref.session} {ref.executor}"),
            *("" if share is None else share, self._node_expiry),
        )
        admit = script("admit").call(
            [keys.session(ref.session), keys.leases(ref), keys.spec(ref), keys.calls(ref, queue)],
            *(lease, self._pid, queue, self._node, limit, wanted, group),
        )
        try:
            if not self._link.call(*register):
                return False
            if not self._link.call(*admit):
                self._link.call("HDEL", keys.node_leases(self._node), lease)
                return False
        except KeyDamaged:
            return False  # Who owns the key mends it with its next beat.
        return True

    def turn(self, ref: ExecutorRef, queue: str, lease: str) -> None:
        self._ref, self._lease, self._held, self._given_back = ref, lease, set(), 0
        self._leases, self._calls = keys.leases(ref), keys.calls(ref, queue)
        self._replies, self._demand = keys.replies(ref.session), keys.demand(queue)
        self._opened, self._look_back_until = self._taker.opened, 0.0
        self._queue, self._order = queue, keys.order(ref, queue)
        self._was_empty, self._sent_ahead = False, ()
        self._asks_first, self._must_wait = True, False

    def widen(self, threads: int, limit: int) -> int:
        widen = script("widen").call([self._leases], self._lease, threads, limit)
        return int(self._call_unless_damaged(*widen) or 0)

    def spec(self) -> Frame | None:
        frame: Frame | None = self._call_unless_damaged("GET", keys.spec(self._ref))
        return frame

    def drop_spec(self) -> None:
        self._link.call("DEL", keys.spec(self._ref))

    def function(self, function_id: bytes) -> Frame | None:
        frame: Frame | None = self._call_unless_damaged(
            "HGET", keys.functions(self._ref), function_id
        )
        return frame

    def put_blob(self, name: bytes, index: int, frame: Frame) -> None:
        key = keys.blob(self._ref.session, name)
        self._link.run(("HSET", key, index, frame), ("PEXPIRE", key, self._key_expiry))

    def blob(self, session: str, name: bytes, index: int) -> Frame | None:
        frame: Frame | None = self._call_unless_damaged("HGET", keys.blob(session, name), index)
        return frame

    def _call_unless_damaged(self, *command: Any) -> Any:
        """Return the answer; ``None`` if others wrote over the key, which its caller mends."""
        try:
            return self._link.call(*command)
        except KeyDamaged:
            return None

    def backlog(self) -> int:
        length, pending = self._link.run(
            ("XLEN", self._calls), ("XPENDING", self._calls, keys.GROUP)
        )
        if isinstance(pending, ServerError) or isinstance(length, ServerError):
            return 0  # The stream is gone.
        return max(0, int(length) - int(pending[0]))

    def take(self, count: int, timeout: float) -> list[Held] | None:
        if self._opened != self._taker.opened:
            if self._taker.opened > 1:
                self._look_back_until = time.monotonic() + LOOK_BACK_SECONDS
            self._opened, self._asks_first = self._taker.opened, True
        if time.monotonic() < self._look_back_until and (lost := self._take_again()):
            return lost
        if self._asks_first:
            found = self._look_in_turn(count, timeout)
            if found is None or found or self._asks_first:
                return found
        look, self._sent_ahead = self._sent_ahead or self._look(count, timeout), ()
        began = time.monotonic()
        entries, alive, *asking = self._taker.run(*look, blocks=timeout)
        self._was_empty = time.monotonic() - began > AT_ONCE_SECONDS
        self._hear(asking)
        if not alive or isinstance(alive, ServerError) or isinstance(entries, ServerError):
            return None  # The keys went with their executor.
        return self._receive(entries)

    def _look_in_turn(self, count: int, timeout: float) -> list[Held] | None:
        """Take what is there, in its order: not before an older entry that a lease has reserved.

        Once this found entries the server counts on the lease to look so, until this finds none.
        """
        until = time.monotonic() + timeout
        while True:
            left = until - time.monotonic()
            if self._must_wait and left > 0:
                time.sleep(min(IN_TURN_SECONDS, left))
            found = self.exchange(Parcel(), count)
            if found is None or found or not self._must_wait or left <= 0:
                return found

    def reserve(self, most_threads: int) -> list[Held] | None:
        if self._opened != self._taker.opened > 1:
            return []  # Only `take` looks back at what was lost with a connection.
        command = script("reserve").call(
            [self._leases, self._calls, self._order],
            *(self._lease, most_threads, self._queue),
        )
        answer, *asking = self._taker.run(command, *self._ask_who_asks())
        self._hear(asking)
        if isinstance(answer, KeyDamaged) or answer == 0:
            return None
        if isinstance(answer, ServerError):
            raise answer
        return self._receive(answer)

    def _look(self, count: int, timeout: float) -> tuple[Command, ...]:
        """Wait for entries; and see whether the lease still counts, and who else asks."""
        return (
            (
                *("XREADGROUP", "GROUP", keys.GROUP, self._lease, "COUNT", count),
                *("BLOCK", max(1, round(timeout * 1000)), "STREAMS", self._calls, ">"),
            ),
            ("HEXISTS", self._leases, self._lease),
            *self._ask_who_asks(),
        )

    def _take_again(self) -> list[Held]:
        """What was taken over a connection that broke before the answer was read."""
        (entries,) = self._taker.run(
            ("XREADGROUP", "GROUP", keys.GROUP, self._lease, "STREAMS", self._calls, "0")
        )
        return self._receive(entries, were_lost=True)

    def _receive(self, answer: object, *, were_lost: bool = False) -> list[Held]:
        """Hold what an answer brings; of what *were_lost*, not the entry that was given back."""
        if not isinstance(answer, list) or not answer:
            return []
        taken, foreign = [], []
        for identity, fields in answer[0][1]:
            number, _, rest = identity.partition(b"-")
            entry = int(number)
            if rest != b"0":
                foreign.append(identity)
                continue
            if entry == self._given_back and not were_lost:
                self._held.discard(entry)
                self._given_back = 0
            # An entry without fields was deleted while it was held.
            if entry not in self._held and fields:
                self._held.add(entry)
                taken.append(Held(entry, fields[1]))
        if foreign:  # Callers write whole numbers only.
            self._link.run(
                ("XACK", self._calls, keys.GROUP, *foreign), ("XDEL", self._calls, *foreign)
            )
        return taken

    def reply(self, parcel: Parcel) -> bool:
        # Not heard either where the replies are none any more: the caller then asks for all anew.
        heard = bool(self._call_unless_damaged(*self._reply(parcel, 0)))
        self._let_go(parcel)
        return heard

    def _let_go(self, parcel: Parcel) -> None:
        self._held.difference_update(parcel.finished)
        if parcel.reserved:
            self._held.discard(self._given_back)  # By now it is another one's.
            self._given_back = parcel.reserved

    def exchange(self, parcel: Parcel, count: int, timeout: float = 0.0) -> list[Held] | None:
        if self._opened != self._taker.opened > 1:
            # Only `take` looks back at what was lost with a connection.
            return [] if self.reply(parcel) else None
        if timeout and self._was_empty and not self._asks_first:
            # Most likely nothing is there: then this is one trip, and the script has less to do.
            look = self._look(count, timeout)
            (answer,) = self._taker.run(self._reply(parcel, 0), then=look)
            asking = []
        else:
            look = ()
            answer, *asking = self._taker.run(self._reply(parcel, count), *self._ask_who_asks())
        if isinstance(answer, KeyDamaged):
            return None
        if isinstance(answer, ServerError):
            raise answer
        self._hear(asking)
        self._let_go(parcel)
        if not answer:
            return None
        self._was_empty, self._sent_ahead = self._was_empty or answer == 1, look
        self._asks_first, self._must_wait = not look and answer != 1, answer == 2
        return self._receive(answer)

    def _reply(self, parcel: Parcel, count: int) -> Command:
        frame, finished, reserved = parcel
        end = "" if reserved is None else f"{reserved}-0" if reserved else "0"
        return script("reply").call(
            [self._leases, self._calls, self._replies, self._order],
            *(self._lease, frame or b"", count, end, *[f"{entry}-0" for entry in finished]),
        )

    def _ask_who_asks(self) -> tuple[Command, ...]:
        """What rides along with another command, if it is due."""
        now = time.monotonic()
        if now < self._asking_due:
            return ()
        self._asking_due = now + ASKING_SECONDS
        return (("HLEN", self._demand),)

    def _hear(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            self.asking = 0 if isinstance(answer, ServerError) else int(answer)

    def counts(self) -> bool:
        counts, asking = self._link.run(
            ("HEXISTS", self._leases, self._lease), ("HLEN", self._demand)
        )
        self._hear([asking])
        return bool(counts) and not isinstance(counts, ServerError)

    def leave(self, *, force: bool) -> bool:
        command = script("leave").call(
            [self._leases, self._calls, self._order], self._lease, "1" if force else "0"
        )
        try:
            if not self._link.call(*command):
                return False
        except KeyDamaged:
            pass  # There is nothing to leave.
        self._call_unless_damaged("HDEL", keys.node_leases(self._node), self._lease)
        return True

    def close(self) -> None:
        self._link.close()
        self._taker.close()
