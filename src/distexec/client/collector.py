"""Settles calls: the way from the reply stream back to the futures."""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distexec.client.calls import PendingCall, executor_of
from distexec.client.channel import Channel
from distexec.client.outcomes import conclude, report, settle
from distexec.errors import (
    ClusterError,
    DistexecError,
    FrameRejected,
    InitializerFailed,
    ResultUnpickleError,
)
from distexec.wire import places
from distexec.wire.blobs import BlobMissing, BlobRef, StoredResult
from distexec.wire.codec import decode_replies
from distexec.wire.exceptions import unpack_exception
from distexec.wire.records import Reply, ReplyKind, read_entry
from distexec.wire.seal import Direction
from distexec.wire.values import unpack_result
from distexec.worker.logs import replay

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: What a frame ends with, and no other frame does.
SIGNATURE_BYTES = 32

#: Seconds that the collector listens at a time: how late it notices that it must stop, at worst.
LISTEN_SECONDS = 1.0

#: So many calls that end together make room for as many that the collector itself sends. With more,
#: the dispatcher's thread does, while it settles them.
FEW_CALLS = 4

#: Seconds between two tries to reach a server that went away.
RETRY_SECONDS = 0.1


class Collector:
    """One session's receiving side: a thread that reads the reply stream."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._stopping = False
        #: Signatures of the last frames with logging records. All else may be heard twice.
        self._logged: deque[bytes] = deque(maxlen=256)
        self._pause = threading.Event()
        self._listener = threading.Thread(target=self._run, name="distexec-collector", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._listener.start()

    def stop(self) -> None:
        """End the thread, and wait for it unless it is the calling one."""
        self._stopping = True
        self._session.store.interrupt()
        if self._listener is not threading.current_thread():
            self._listener.join()

    def _run(self) -> None:
        while not self._stopping:
            try:
                frames = self._session.store.collect(LISTEN_SECONDS)
            except ClusterError as error:
                self._session.lost_server(error)
                self._pause.wait(RETRY_SECONDS)
                continue
            if not frames:
                self._session.limiter.nudge()  # Somebody's hint, or a quiet time.
            for frame in frames:
                try:
                    self._receive(frame)
                except Exception as error:
                    # A mistake of ours. Without this thread no call would ever end.
                    self._session.give_up(error)
            del frames

    def _receive(self, frame: bytes) -> None:
        session = self._session
        try:
            body = self._open(frame)
            if body is None:
                session.notices.receive(frame)
                return
            replies = decode_replies(body)
        except (DistexecError, ValueError, LookupError, TypeError) as error:
            session.refusals.note("A reply frame", error)
            return
        if any(reply.kind == ReplyKind.LOG for reply in replies) and self._is_repeated(frame):
            replies = [reply for reply in replies if reply.kind != ReplyKind.LOG]
        done: list[Reply] = []
        for reply in replies:
            is_done = reply.kind == ReplyKind.DONE
            if done and not (is_done and executor_of(reply.number) == executor_of(done[0].number)):
                self._complete(done)
                done = []
            if is_done:
                done.append(reply)
                continue
            channel, count = self._handle(reply)
            if channel is not None:
                self._make_room(channel)
                channel.settled(count)
        if done:
            self._complete(done)

    def _open(self, frame: bytes) -> memoryview | None:
        """Return the replies in *frame*, of a lease or of a node; ``None`` if it is neither's."""
        seal, name = self._session.seal, self._session.name
        for place_of in (places.reply, places.lost):
            try:
                return seal.open(Direction.REPLY, place_of(name), frame)
            except FrameRejected:
                continue
        return None

    def _complete(self, replies: Sequence[Reply], buffers: memoryview | None = None) -> None:
        """Settle calls of one executor that returned: the way of nearly all calls, so in bulk.

        Who waits for a future goes on at once, and needs the interpreter's lock: what is not for
        the futures comes after them, while who waits is being woken.

        Args:
            buffers: What was split from the payload of the only reply.
        """
        channel = self._session.channel(str(executor_of(replies[0].number)))
        if channel is None:
            return
        window = channel.window
        ended = window.complete(replies)
        makes_room = window.wants_room
        is_bulk = len(ended) > FEW_CALLS
        if makes_room:
            window.learned.add_all(ended)
            if is_bulk:
                self._session.dispatch(channel, at_once=False)
        counters, now, settled = channel.counters, time.monotonic(), 0
        runs = [reply.run_seconds for _, reply in ended]
        waits = [max(0.0, now - call.submitted_at - reply.run_seconds) for call, reply in ended]
        counters.note_times(waits, runs)
        for call, reply in ended:
            call.drop_payload()
            result, error = _outcome(reply, buffers)
            if error is None:
                counters.done += 1
            else:
                counters.failed += 1
            settled += settle(channel, call.future, result=result, error=error)
        if not makes_room:
            window.learned.add_all(ended)
        elif not is_bulk:
            self._session.dispatch(channel, at_once=True)
        channel.settled(settled)

    def _make_room(self, channel: Channel) -> None:
        """Let the calls go that waited for room, if there are some."""
        if channel.window.wants_room:
            self._session.dispatch(channel, at_once=False)

    def _is_repeated(self, frame: bytes) -> bool:
        """Whether the same frame came before: a lease repeats what it does not know to be heard."""
        signature = frame[-SIGNATURE_BYTES:]
        if signature in self._logged:
            return True
        self._logged.append(signature)
        return False

    def _handle(self, reply: Reply) -> tuple[Channel | None, int]:
        """Do what *reply* says.

        Returns:
            The channel whose window changed, and how many of its futures are settled.
        """
        session = self._session
        if reply.kind == ReplyKind.LOG:
            replay(reply.payload)
            return None, 0
        if reply.kind == ReplyKind.BROKEN:
            self._break(reply)
            return None, 0
        if reply.kind in (ReplyKind.TAKES_ONE, ReplyKind.TAKES_MANY):
            channel = session.channel(str(reply.number))
            if channel is not None:
                lease = bytes(reply.payload).decode()
                channel.window.note_taking(lease, many=reply.kind == ReplyKind.TAKES_MANY)
            return channel, 0
        if reply.kind == ReplyKind.LEASE_LOST:
            lost = json.loads(bytes(reply.payload))
            channel = session.channel(lost["executor"])
            if channel is not None:
                session.losses.bury(
                    channel,
                    lost["lease"],
                    lost["story"],
                    is_charged=lost["charged"],
                    overdue=lost.get("overdue"),
                )
            return channel, 0
        channel = session.channel(str(executor_of(reply.number)))
        if reply.kind == ReplyKind.STORED:
            self._complete_stored(channel, reply)
            return None, 0
        if channel is None:
            return None, 0
        if reply.kind == ReplyKind.FAILED:
            call = channel.window.settle(reply.number, failed=reply.attempt)
            return channel, 0 if call is None else self._deliver_error(channel, call, reply)
        if reply.kind in (ReplyKind.STARTED, ReplyKind.PROGRESS):
            call = channel.window.start(reply.number)
            if call is not None:
                call.future._mark_running()
                if reply.kind == ReplyKind.PROGRESS:
                    report(channel, call, reply)
            return None, 0
        call = channel.window.give_back(reply.number, read_entry(reply.payload))
        if call is not None:
            channel.counters.returned += 1
            if reply.kind == ReplyKind.UNKNOWN_FUNCTION:
                channel.functions.pop(call.function[0], None)
            elif reply.kind == ReplyKind.UNKNOWN_BLOB:
                session.resend_value(channel, call, bytes(reply.payload[8:]))
        return channel, 0

    def _complete_stored(self, channel: Channel | None, reply: Reply) -> None:
        """Fetch a large result, and settle its call with it."""
        result = StoredResult.decode(reply.payload)
        content = None if channel is None else self._fetch(channel, reply.number, result.ref)
        if content is None:
            # Nobody waits for it; or it is gone.
            self._session.depot.drop(result.ref)
            return
        payload, buffers = (result.head, content) if result.head else (content, None)
        done = reply._replace(kind=ReplyKind.DONE, payload=payload)
        self._complete([done], buffers)

    def _fetch(self, channel: Channel, number: int, result: BlobRef) -> memoryview | None:
        session = self._session
        while channel.window.is_awaited(number) and not self._stopping:
            try:
                return session.depot.fetch(result)
            except (BlobMissing, FrameRejected) as error:
                if isinstance(error, FrameRejected):
                    session.refusals.note("A stored result", error)
                session.losses.run_again(
                    channel, number, f"{type(error).__name__} {result.name.hex()}"
                )
                break
            except ClusterError as error:
                session.lost_server(error)
                self._pause.wait(RETRY_SECONDS)
        return None

    def _deliver_error(self, channel: Channel, call: PendingCall, reply: Reply) -> int:
        counters = channel.counters
        channel.window.learned.add(call.function[0], reply.run_seconds, reply.cpu_seconds)
        elapsed = time.monotonic() - call.submitted_at
        counters.note_times([max(0.0, elapsed - reply.run_seconds)], [reply.run_seconds])
        _, error = _outcome(reply)
        assert error is not None
        return conclude(channel, call, error)

    def _break(self, reply: Reply) -> None:
        """An initializer failed: the executor is broken, as the standard library says."""
        channel = self._session.channel(str(reply.number))
        if channel is None or channel.broken is not None:
            return
        cause = unpack_exception(reply.payload)
        logging.getLogger("concurrent.futures").critical(
            "Exception in initializer:", exc_info=(type(cause), cause, cause.__traceback__)
        )
        error = InitializerFailed(
            "A process in the process pool was terminated abruptly: "
            f"its initializer failed, so the executor is not usable anymore ({cause!r})"
        )
        error.__cause__ = cause
        self._session.fail_all(channel, error)


def _outcome(reply: Reply, buffers: memoryview | None = None) -> tuple[Any, BaseException | None]:
    """The result of a call, and its exception."""
    try:
        if reply.kind == ReplyKind.DONE:
            return unpack_result(reply.payload, buffers), None
        return None, unpack_exception(reply.payload)
    except BaseException as error:
        if isinstance(error, ResultUnpickleError):
            return None, error
        failure = ResultUnpickleError(f"the result could not be unpickled here: {error!r}")
        failure.__cause__ = error
        return None, failure
