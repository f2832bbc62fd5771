"""`distexec.store.port.CallerStore` on Redis or Valkey."""

import contextlib
from collections.abc import Sequence
from typing import Any

from distexec.errors import ClusterError, ClusterRefused
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link, ServerError, script
from distexec.store.port import (
    ExecutorRef,
    Frame,
    Held,
    LeaseRecord,
    NodeStatus,
    ReplyMark,
    SessionUnknown,
)

#: Seconds that a command for a node is kept.
COMMAND_SECONDS = 60

#: The oldest Redis that has every command used here (``XTRIM MINID`` and ``XADD NOMKSTREAM``).
LEAST_VERSION = (6, 2)

#: Reply frames read at a time at most.
MOST_REPLIES = 512


class RedisCallerStore:
    """One session's side: a connection to send, and one to listen."""

    def __init__(self, endpoint: Endpoint, session: str, settings: Settings) -> None:
        self._session, self._where = session, endpoint.display
        self._session_expiry = round(settings.session_expiry_seconds * 1000)
        self._key_expiry = round(settings.key_expiry_seconds * 1000)
        self._link = Link(endpoint, settings)
        self._listener = Link(endpoint, settings)
        #: Id of the last reply that was read, and of the last one whose reader came back for more.
        self._last_reply = self._processed = b"0-0"
        #: Beats so far, and the last one that the server acknowledged. One that knows of fewer has
        #: lost what it acknowledged since.
        self._beats = self._acknowledged = 0
        self._is_set_back = False
        #: Queues that each executor has a call stream for.
        self._streams: dict[ExecutorRef, set[str]] = {}
        #: Queues that each executor has asked: of some it may never use the stream.
        self._asked: dict[ExecutorRef, set[str]] = {}
        self._closed = False

    def open(self) -> None:
        self._check_server()
        # Ids begin anew with the server's clock, whatever that says; frames may be heard twice.
        self._last_reply = self._processed = b"0-0"
        self._is_set_back = False
        self._acknowledged = 0
        self._link.call("SET", keys.session(self._session), 0, "PX", self._session_expiry)

    def _check_server(self) -> None:
        """Refuse a server that cannot do our work, by its own words."""
        try:
            (answer,) = self._link.run(("INFO", "server"))
        except ClusterRefused as error:
            if "permission" not in str(error).lower():
                raise
            return  # It does not have to tell.
        if isinstance(answer, ServerError):
            return
        told = dict(line.partition(b":")[::2] for line in bytes(answer).splitlines())
        version = told.get(b"redis_version", b"").decode(errors="replace")
        if told.get(b"redis_mode") == b"cluster":
            raise ClusterRefused(
                f"the server at {self._where} is part of a Redis Cluster, which distexec does not "
                "use yet: give it a single server, or a primary behind Sentinel"
            )
        try:
            numbers = tuple(int(part) for part in version.split(".")[:2])
        except ValueError:
            return
        if numbers < LEAST_VERSION:
            raise ClusterRefused(
                f"the server at {self._where} is Redis {version}, and distexec needs Redis 6.2 or "
                "newer, or Valkey"
            )

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
        *written, leases = self._link.run(*commands, patience=patience)
        for answer in written[-len(entries) :] if entries else ():
            if answer is None:
                raise SessionUnknown(self._session)
            if isinstance(answer, ServerError) and "equal or smaller" not in str(answer):
                raise answer
        return int(leases)

    def _open_stream(self, ref: ExecutorRef, queue: str, patience: float | None) -> None:
        stream, session = keys.calls(ref, queue), keys.session(self._session)
        exists, made, _ = self._link.run(
            ("EXISTS", session),
            ("XGROUP", "CREATE", stream, keys.GROUP, "0", "MKSTREAM"),
            ("PEXPIRE", stream, self._key_expiry),
            patience=patience,
        )
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
        stream = keys.replies(self._session)
        self._processed = self._last_reply
        _, answer = self._listener.run(
            ("XTRIM", stream, "MINID", _next_id(self._last_reply)),
            (
                *("XREAD", "COUNT", MOST_REPLIES, "BLOCK", max(1, round(timeout * 1000))),
                *("STREAMS", stream, self._last_reply),
            ),
            blocks=timeout,
        )
        if isinstance(answer, ServerError) or not answer:
            return []
        entries = answer[0][1]
        self._last_reply = entries[-1][0]
        return [fields[1] for _, fields in entries if fields[1]]

    def put_spec(self, ref: ExecutorRef, frame: Frame) -> None:
        self._link.call("SET", keys.spec(ref), frame, "PX", self._key_expiry)
        self._streams.setdefault(ref, set())

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
        return [int(number) for number in missing], _mark(last)

    def has_collected(self, mark: ReplyMark) -> bool:
        return _mark(self._processed) >= mark

    def drop_functions(self, ref: ExecutorRef, function_ids: Sequence[bytes]) -> None:
        self._link.call("HDEL", keys.functions(ref), *function_ids)

    def ask(self, queue: str, ref: ExecutorRef, frame: Frame | None) -> None:
        field = f"{ref.session} {ref.executor}"
        if frame is None:
            self._link.call("HDEL", keys.demand(queue), field)
        else:
            self._asked.setdefault(ref, set()).add(queue)
            self._link.call("HSET", keys.demand(queue), field, frame)

    def leases(self, ref: ExecutorRef) -> list[LeaseRecord]:
        """The admitted leases; and, without a node, those that hold entries and were ended."""
        queues = sorted(self._streams.get(ref, ()))
        consumers = [("XINFO", "CONSUMERS", keys.calls(ref, queue), keys.GROUP) for queue in queues]
        records, *groups = self._link.run(("HGETALL", keys.leases(ref)), *consumers)
        found = {
            lease.decode(): _read_lease(lease, record)
            for lease, record in zip(records[::2], records[1::2], strict=True)
        }
        for queue, group in zip(queues, groups, strict=True):
            for consumer in () if isinstance(group, ServerError) else group:
                fields = dict(zip(consumer[::2], consumer[1::2], strict=True))
                name = fields[b"name"].decode()
                if fields[b"pending"] and name not in found:
                    found[name] = LeaseRecord(name, "", 0, 0, queue, 0.0)
        return list(found.values())

    def bury(self, ref: ExecutorRef, lease: str) -> list[tuple[str, int]]:
        queues = sorted(self._streams.get(ref, ()))
        streams = [keys.calls(ref, queue) for queue in queues]
        held = self._link.call(*script("bury").call([keys.leases(ref), *streams], lease))
        # In two steps: were the first one's answer lost, the entries would be found again.
        discards = [
            script("discard").call([stream], lease, *ids)
            for stream, ids in zip(streams, held, strict=True)
        ]
        if discards:
            self._link.run(*discards)
        return [
            (queue, int(entry.partition(b"-")[0]))
            for queue, ids in zip(queues, held, strict=True)
            for entry in ids
        ]

    def nodes(self) -> list[NodeStatus]:
        names = [name.decode() for name in self._link.call("SMEMBERS", keys.NODE_NAMES)]
        if not names:
            return []
        answers = self._link.run(
            *(("HMGET", keys.node_record(name), "frame", "at") for name in names)
        )
        return [
            NodeStatus(name, float(answer[1]), answer[0])
            for name, answer in zip(names, answers, strict=True)
            if not isinstance(answer, ServerError) and answer[0] is not None
        ]

    def command(self, node: str, frame: Frame) -> None:
        stream = keys.node_commands(node)
        self._link.run(
            ("XADD", stream, "MAXLEN", 64, "*", "f", frame),
            ("EXPIRE", stream, COMMAND_SECONDS),
        )

    def beat(self, refs: Sequence[ExecutorRef]) -> float:
        if not refs:
            (time,) = self._link.run(("TIME",))
            return int(time[0]) + int(time[1]) / 1e6
        self._beats += 1
        record = keys.session(self._session), self._beats
        known, time, *_ = self._link.run(
            ("SET", *record, "XX", "GET", "PX", self._session_expiry),
            ("TIME",),
            *(("PEXPIRE", key, self._key_expiry) for key in self._keys(refs)),
        )
        if known is None or not known.isdigit() or int(known) < self._acknowledged:
            self._is_set_back = known is not None
            raise SessionUnknown(self._session)
        self._acknowledged = self._beats
        return int(time[0]) + int(time[1]) / 1e6

    def _keys(self, refs: Sequence[ExecutorRef]) -> list[str]:
        """Every key of the session and of *refs*, but the one that says that it lives."""
        found = [keys.replies(self._session)]
        for ref in refs:
            found += [keys.spec(ref), keys.functions(ref), keys.leases(ref)]
            found += [keys.calls(ref, queue) for queue in self._streams.get(ref, ())]
        return found

    def close_executor(self, ref: ExecutorRef) -> None:
        removed = [("DEL", key) for key in self._keys([ref])[1:]]
        self._streams.pop(ref, None)
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
            self._link.call("DEL", keys.session(self._session), keys.replies(self._session))
        finally:
            self._link.close()
            self._listener.close()


def _mark(identity: bytes) -> ReplyMark:
    milliseconds, _, count = identity.partition(b"-")
    return int(milliseconds), int(count)


def _next_id(identity: bytes) -> bytes:
    milliseconds, count = _mark(identity)
    return b"%d-%d" % (milliseconds, count + 1)


def _read_lease(lease: bytes, record: bytes) -> LeaseRecord:
    threads, pid, admitted, queue, node = record.decode().split("|", 4)
    return LeaseRecord(lease.decode(), node, int(pid), int(threads), queue, float(admitted))
