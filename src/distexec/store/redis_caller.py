"""`distexec.store.caller_port.CallerStore` on Redis or Valkey."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from distexec.errors import ClusterError
from distexec.settings import Settings
from distexec.store import keys, totals
from distexec.store.answers import read_demands, read_info, read_text, read_time
from distexec.store.audit import audit
from distexec.store.caller_port import Damage, ReplyMark
from distexec.store.endpoint import Endpoint
from distexec.store.files import shared_folder
from distexec.store.fitness import check_server
from distexec.store.link import Command, Link, ServerError, script
from distexec.store.node_records import read_nodes, send_command
from distexec.store.port import (
    ExecutorRef,
    Frame,
    Held,
    KeyDamaged,
    LeaseRecord,
    NodeStatus,
    SessionUnknown,
)
from distexec.store.redis_history import RedisHistoryStore
from distexec.store.redis_letters import RedisLetterStore
from distexec.store.redis_limits import RedisLimitStore
from distexec.store.redis_replies import ReplyReader, read_mark

#: After so much of their life keys are given all of it again: a beat has a command for each of them
#: then, and an executor has five.
PROLONG_SHARE = 0.05

#: Seconds that an answer to an operator is kept.
ANSWER_SECONDS = 60


class RedisCallerStore:
    """One session's side: a connection to send, and one to listen."""

    def __init__(self, endpoint: Endpoint, session: str, settings: Settings) -> None:
        self._session, self._where, self._settings = session, endpoint.display, settings
        self._session_expiry = round(settings.session_expiry_seconds * 1000)
        self._key_expiry = round(settings.key_expiry_seconds * 1000)
        self.blob_folder: Path | None = shared_folder(endpoint)
        self._link = Link(endpoint, settings)
        self._replies = ReplyReader(endpoint, session, settings)
        #: Beats so far, and the last one that the server acknowledged. One that knows of fewer has
        #: lost what it acknowledged since.
        self._beats = self._acknowledged = 0
        self._is_set_back = False
        #: When a beat prolongs the life of all keys again.
        self._prolong_at = 0.0
        #: Queues that each executor has a call stream for.
        self._streams: dict[ExecutorRef, set[str]] = {}
        #: Queues that each executor has asked: of some it may never use the stream.
        self._asked: dict[ExecutorRef, set[str]] = {}
        #: The last entry that was ever sent to each call stream.
        self._attempted: dict[str, int] = {}
        #: Executors and queues whose call stream somebody else moved past our numbers.
        self._outrun: set[tuple[ExecutorRef, str]] = set()
        #: What was removed and is not told yet.
        self._mended: list[str] = []
        #: Blobs that this side has put. Whoever drops them may be another thread.
        self._blobs: set[bytes] = set()
        self._closed = False
        self.letters = RedisLetterStore(self._link, settings)
        self.limits = RedisLimitStore(self._link, settings)
        self.history = RedisHistoryStore(self._link)

    def open(self) -> float:
        check_server(self._link, self._where)
        self._replies.begin()
        self._is_set_back = False
        self._acknowledged = 0
        self._prolong_at = 0.0
        answer, time = self._link.run(
            ("SET", keys.session(self._session), 0, "PX", self._session_expiry), ("TIME",)
        )
        if isinstance(answer, ServerError):
            raise answer
        return read_time(time)

    def put(
        self,
        ref: ExecutorRef,
        queue: str,
        entries: Sequence[Held],
        functions: Sequence[tuple[bytes, Frame]] = (),
        *,
        patience: float | None = None,
    ) -> int:
        stream = keys.calls(ref, queue)
        if queue not in self._streams.get(ref, ()):
            self._open_stream(ref, queue, patience)
        commands: list[tuple[Any, ...]] = []
        if functions:
            pairs = [part for pair in functions for part in pair]
            commands.append(("HSET", keys.functions(ref), *pairs))
            commands.append(("PEXPIRE", keys.functions(ref), self._key_expiry))
        for entry, frame in entries:
            commands.append(("XADD", stream, "NOMKSTREAM", f"{entry}-0", "f", frame))
        commands.append(("HLEN", keys.leases(ref)))
        opened, attempted = self._link.opened, self._attempted.get(stream, 0)
        if entries:
            self._attempted[stream] = max(attempted, entries[-1].entry)
        answers = self._link.run(*commands, patience=patience)
        is_retry = opened != self._link.opened
        first = len(answers) - 1 - len(entries)
        for (entry, _), answer in zip(entries, answers[first:-1], strict=True):
            if answer is None:
                raise SessionUnknown(self._session)
            if isinstance(answer, ServerError):
                if "equal or smaller" not in str(answer):
                    raise answer
                self._check_retry(ref, queue, is_retry or entry <= attempted)
            attempted = max(attempted, entry)
        for answer in (*answers[:first], answers[-1]):
            if isinstance(answer, KeyDamaged):
                raise answer
        return int(answers[-1])

    def _check_retry(self, ref: ExecutorRef, queue: str, is_retry: bool) -> None:
        """Tell an entry that was written before from one whose number somebody else has taken.

        Raises:
            KeyDamaged: It is the latter.
        """
        stream = keys.calls(ref, queue)
        if is_retry:
            fields = self._link.call("XINFO", "STREAM", stream)
            last = fields[fields.index(b"last-generated-id") + 1]
            is_retry = last == b"%d-0" % self._attempted[stream]
        if not is_retry:
            self._outrun.add((ref, queue))
            raise KeyDamaged(f"{stream}: somebody else has written to it")

    def _open_stream(self, ref: ExecutorRef, queue: str, patience: float | None) -> None:
        stream, session = keys.calls(ref, queue), keys.session(self._session)
        exists, made, _ = self._link.run(
            ("EXISTS", session),
            ("XGROUP", "CREATE", stream, keys.GROUP, "0", "MKSTREAM"),
            ("PEXPIRE", stream, self._key_expiry),
            patience=patience,
        )
        if isinstance(made, KeyDamaged):
            self._streams.setdefault(ref, set()).add(queue)  # So that the next audit finds it.
        if isinstance(made, ServerError) and "BUSYGROUP" not in str(made):
            raise made
        if not exists:
            raise SessionUnknown(self._session)
        self._streams.setdefault(ref, set()).add(queue)

    def recall(self, ref: ExecutorRef, queue: str, entries: Sequence[int]) -> list[int]:
        if not entries:
            return []
        command = script("recall").call([keys.calls(ref, queue)], *entries)
        return [int(number) for number in self._link.call(*command)]

    def collect(self, timeout: float) -> list[Frame]:
        return self._replies.collect(timeout)

    def put_spec(self, ref: ExecutorRef, frame: Frame) -> None:
        self._link.call("SET", keys.spec(ref), frame, "PX", self._key_expiry)
        self._streams[ref] = set()

    def knows(self, ref: ExecutorRef) -> bool:
        if self._is_set_back:
            return False
        written = [keys.calls(ref, queue) for queue in self._streams.get(ref, ())]
        return int(self._link.call("EXISTS", keys.spec(ref), *written)) == 1 + len(written)

    @property
    def connections(self) -> int:
        return self._link.opened

    def census(
        self, ref: ExecutorRef, queue: str, entries: Sequence[int]
    ) -> tuple[list[int], ReplyMark]:
        place = [keys.calls(ref, queue), keys.replies(self._session)]
        last, missing = self._link.call(*script("census").call(place, *entries))
        return [int(number) for number in missing], read_mark(last)

    def has_collected(self, mark: ReplyMark) -> bool:
        return self._replies.has_collected(mark)

    def drop_functions(self, ref: ExecutorRef, function_ids: Sequence[bytes]) -> None:
        self._link.call("HDEL", keys.functions(ref), *function_ids)

    def put_blob(self, name: bytes, index: int, frame: Frame) -> None:
        self._blobs.add(name)
        key = keys.blob(self._session, name)
        # Somebody else may have written something else there.
        begin: list[Command] = [] if index else [("UNLINK", key)]
        put: Command = ("HSET", key, index, frame)
        self._link.run(*begin, put, ("PEXPIRE", key, self._key_expiry))

    def blob(self, name: bytes, index: int) -> Frame | None:
        try:
            frame: Frame | None = self._link.call("HGET", keys.blob(self._session, name), index)
        except KeyDamaged:
            return None
        return frame

    def drop_blobs(self, names: Sequence[bytes]) -> None:
        self._blobs.difference_update(names)
        if names:
            self._link.call("UNLINK", *(keys.blob(self._session, name) for name in names))

    def ask(self, queue: str, ref: ExecutorRef, frame: Frame | None) -> None:
        field = f"{ref.session} {ref.executor}"
        if frame is None:
            self._link.call("HDEL", keys.demand(queue), field)
        else:
            self._asked.setdefault(ref, set()).add(queue)
            key = keys.demand(queue)
            # A slot that looks removes what nobody asks any more; where all are idle, time does.
            write = ("HSET", key, field, frame), ("PEXPIRE", key, self._key_expiry)
            answer, _ = self._link.run(*write)
            if isinstance(answer, KeyDamaged):  # Callers share it, and none waits for another.
                self._mended.append(f"{key}: {answer}")
                self._link.run(("DEL", key), *write)
            elif isinstance(answer, ServerError):
                raise answer

    def leases(self, ref: ExecutorRef) -> list[LeaseRecord]:
        """The admitted leases; and, without a node, those that hold entries and were ended."""
        queues = sorted(self._streams.get(ref, ()))
        consumers = [("XINFO", "CONSUMERS", keys.calls(ref, queue), keys.GROUP) for queue in queues]
        records, *groups = self._link.run(("HGETALL", keys.leases(ref)), *consumers)
        if isinstance(records, ServerError):
            raise records
        found = {}
        for lease, record in zip(records[::2], records[1::2], strict=True):
            if (known := _read_lease(lease, record)) is not None:
                found[known.lease] = known
            else:
                self._link.call("HDEL", keys.leases(ref), lease)
        for queue, group in zip(queues, groups, strict=True):
            for consumer in () if isinstance(group, ServerError) else group:
                fields = dict(zip(consumer[::2], consumer[1::2], strict=True))
                name = read_text(fields[b"name"])
                if fields[b"pending"] and name not in found:
                    found[name] = LeaseRecord(name, "", 0, 0, queue, 0.0)
        return list(found.values())

    def bury(self, ref: ExecutorRef, lease: str) -> list[tuple[str, int]]:
        queues = sorted(self._streams.get(ref, ()))
        streams = [keys.calls(ref, queue) for queue in queues]
        name = lease.encode(errors="surrogateescape")
        held = self._link.call(*script("bury").call([keys.leases(ref), *streams], name))
        # In two steps: were the first one's answer lost, the entries would be found again.
        discards = [
            script("discard").call([stream, keys.order(ref, queue)], name, *ids)
            for queue, stream, ids in zip(queues, streams, held, strict=True)
        ]
        if discards:
            self._link.run(*discards)
        return [
            (queue, _number(entry))
            for queue, ids in zip(queues, held, strict=True)
            for entry in ids
            if entry.endswith(b"-0")  # The others are nobody's calls.
        ]

    def condemn(self, ref: ExecutorRef, queue: str, entry: int) -> LeaseRecord | None:
        place = [keys.leases(ref), keys.calls(ref, queue)]
        answer = self._link.call(*script("condemn").call(place, f"{entry}-0"))
        if not answer:
            return None
        lease, record = answer
        if not record:
            return LeaseRecord(lease.decode(), "", 0, 0, queue, 0.0)
        return _read_lease(lease, record)

    def nodes(self) -> list[NodeStatus]:
        return read_nodes(self._link)

    def server_memory(self) -> float:
        figures = read_info(self._link.call("INFO", "memory"))
        limit = int(figures.get("maxmemory", 0))
        return int(figures.get("used_memory", 0)) / limit if limit else 0.0

    def answer(self, name: str, frame: Frame) -> None:
        self._link.run(("SET", keys.answer(self._session, name), frame, "EX", ANSWER_SECONDS))

    def demands(self, queue: str) -> list[tuple[ExecutorRef, Frame]]:
        try:
            return read_demands(self._link.call("HGETALL", keys.demand(queue)))
        except KeyDamaged:
            return []  # The next one to ask something mends it.

    def command(self, node: str, frame: Frame) -> None:
        send_command(self._link, node, frame)

    def beat(self, refs: Sequence[ExecutorRef]) -> float:
        if not refs:
            return read_time(self._link.call("TIME"))
        self._beats += 1
        record = keys.session(self._session), self._beats
        now = monotonic()
        must_prolong = now >= self._prolong_at
        known, time, *_ = self._link.run(
            ("SET", *record, "XX", "GET", "PX", self._session_expiry),
            ("TIME",),
            *(("PEXPIRE", key, self._key_expiry) for key in self._keys(refs) if must_prolong),
        )
        if must_prolong:
            self._prolong_at = now + PROLONG_SHARE * self._key_expiry / 1000
        is_ours = isinstance(known, bytes) and known.isdigit()
        if not is_ours or int(known) < self._acknowledged:
            self._is_set_back = known is not None
            if self._is_set_back and not is_ours:
                self._mended.append(f"{record[0]}: a count of beats is not what it held")
            raise SessionUnknown(self._session)
        self._acknowledged = self._beats
        return read_time(time)

    def audit(self, refs: Sequence[ExecutorRef]) -> Damage:
        outrun, self._outrun = self._outrun, set()
        # Not those that are about to be made known.
        streams = {ref: sorted(self._streams[ref]) for ref in refs if ref in self._streams}
        has_ended = self._replies.has_ended
        damage = audit(self._link, self._session, streams, outrun=outrun, replies_ended=has_ended)
        if damage.lost_replies:
            self._replies.begin()
        mended, self._mended = self._mended, []
        return damage._replace(keys=[*damage.keys, *mended])

    def _keys(self, refs: Sequence[ExecutorRef]) -> list[str]:
        """Every key of the session and of *refs*, but the one that says that it lives."""
        found = [keys.replies(self._session)]
        found += [keys.blob(self._session, name) for name in self._blobs.copy()]
        for ref in refs:
            found += self._executor_keys(ref)
        return found

    def _executor_keys(self, ref: ExecutorRef) -> list[str]:
        found = [keys.spec(ref), keys.functions(ref), keys.leases(ref)]
        for queue in self._streams.get(ref, ()):
            found += [keys.calls(ref, queue), keys.order(ref, queue)]
        return found

    def count(self, source: str, serial: int, counts: Mapping[str, int]) -> None:
        totals.add(self._link, self._settings, source, serial, counts)

    def close_executor(self, ref: ExecutorRef) -> None:
        removed = [("DEL", key) for key in self._executor_keys(ref)]
        for queue in self._streams.pop(ref, ()):
            self._attempted.pop(keys.calls(ref, queue), None)
        field = f"{ref.session} {ref.executor}"
        asked = [("HDEL", keys.demand(queue), field) for queue in self._asked.pop(ref, ())]
        self._link.run(*removed, *asked)

    def interrupt(self) -> None:
        with contextlib.suppress(ClusterError):  # Then the listener returns with an error as well.
            self._link.call("XADD", keys.replies(self._session), "*", "f", "")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            blobs = [keys.blob(self._session, name) for name in self._blobs]
            own = [keys.session(self._session), keys.replies(self._session)]
            self._link.call("UNLINK", *own, *blobs)
        finally:
            self._link.close()
            self._replies.close()


def _number(identity: bytes) -> int:
    """The number of the entry with this id."""
    return int(identity.partition(b"-")[0])


def _read_lease(lease: bytes, record: bytes) -> LeaseRecord | None:
    """Read a lease's record; ``None`` if it is none of ours."""
    try:
        threads, pid, admitted, queue, node = record.decode().split("|", 4)
        return LeaseRecord(lease.decode(), node, int(pid), int(threads), queue, float(admitted))
    except ValueError:
        return None
