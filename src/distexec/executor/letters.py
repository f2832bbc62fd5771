"""Dead letters: calls that were given up, and wait on the server for a person."""

import time
from concurrent.futures import Future as StandardFuture
from typing import TYPE_CHECKING, Any

from distexec.client.calls import CallOptions, Limits, Place
from distexec.client.channel import Channel
from distexec.client.futures import Future
from distexec.errors import ClusterMismatch, FrameRejected, LetterGone
from distexec.executor.distributed import DistributedExecutor
from distexec.executor.views import Viewable
from distexec.store.port import LetterEntry
from distexec.wire import places
from distexec.wire.exceptions import unpack_exception
from distexec.wire.letters import LetterCall, LetterNote, decode_call, decode_note
from distexec.wire.records import CallFlag
from distexec.wire.seal import Direction
from distexec.wire.values import PackedFunction

if TYPE_CHECKING:
    from distexec.engine.local import LocalCluster


class DeadLetter(Future[Any]):
    """A call that was given up, as the future that it was: done, with the exception it ended with.

    Neither its function nor its arguments are unpickled here, and its exception only when it is
    asked for; all of it was signed with the cluster's secret.
    """

    def __init__(self, executor: DistributedExecutor, entry: LetterEntry, note: LetterNote) -> None:
        super().__init__()
        self._executor, self._note = executor, note
        #: Names it, for `distexec dead`.
        self.id = entry.letter
        #: The server's clock when it was given up, in seconds since 1970.
        self.died_at = entry.kept_at
        #: The function's name, and the queue that the call was for.
        self.label, self.queue = note.label, note.queue
        #: Type and text of the exception.
        self.error = note.error
        #: Host and process of the caller.
        self.caller = note.caller
        self.attempts, self.history = len(note.attempts), note.attempts
        super().set_result(None)

    def exception(self, timeout: float | None = None) -> BaseException:
        """Return what the call ended with.

        Raises:
            LetterGone: Somebody dropped the letter, or it expired.
            ClusterError: The server does not answer.
        """
        if self._exception is None:
            self._exception = unpack_exception(self._read().exception)
        return self._exception

    def result(self, timeout: float | None = None) -> Any:
        """Raise what the call ended with; for other reasons as `exception`."""
        raise self.exception(timeout)

    def retry(self, executor: Viewable | None = None) -> Future[Any]:
        """Run the call again. The letter goes when that returned, and stays if it fails.

        Args:
            executor: Runs it, with its options; ``None`` runs it on the letter's queue, within the
                time limit that it had.

        Raises:
            LetterGone: Somebody dropped the letter, or it expired.
            ClusterMismatch: Another version of Python pickled it.
            ClusterError: The server does not answer.
        """
        call, note = self._read(), self._note
        if note.python != places.PYTHON:
            raise ClusterMismatch(
                f"dead letter {self.id} was written by Python {note.python}, and this is "
                f"{places.PYTHON}: retry it with that one"
            )
        if executor is None:
            alone = CallFlag.ALONE if note.timeout or note.at_most_once else 0
            limits = Limits(timeout=note.timeout, at_most_once=note.at_most_once, flags=alone)
            executor, options = self._executor, CallOptions(Place((note.queue,)), None, limits)
        else:
            options = executor._options
        options = options._replace(limits=options.limits._replace(dead_letter=self.id))
        future = (
            executor._root()
            ._open()
            .resubmit(
                PackedFunction.of(bytes(call.function)),
                bytes(call.payload),
                options,
                label=note.label,
                stories=note.attempts,
            )
        )
        future.add_done_callback(self._drop_if_done)
        return future

    def _drop_if_done(self, future: StandardFuture[Any]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.drop()

    def drop(self) -> bool:
        """Remove the letter; False if it was not there any more.

        Raises:
            ClusterError: The server does not answer.
        """
        return bool(self._channel().session.store.letters.drop([self.id]))

    def _channel(self) -> Channel:
        return self._executor._open()

    def _read(self) -> LetterCall:
        session = self._channel().session
        frame = session.store.letters.call(self.id)
        if frame is None:
            raise LetterGone(self.id)
        place = places.letter_call(self.id)
        return decode_call(session.seal.open(Direction.STORED, place, frame))

    def __repr__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.died_at))
        return f"<DeadLetter {self.id} | {self.label} | {when} | {self.error[:60]}>"


def dead_letters(cluster: "str | LocalCluster | None" = None) -> list[DeadLetter]:
    """Return the calls that were given up and kept, the oldest first.

    Args:
        cluster: As `DistributedExecutor` takes it.

    Raises:
        ClusterError: The cluster cannot be reached, refuses, or has no secret.
    """
    executor = DistributedExecutor(cluster=cluster)
    session = executor._open().session
    found = []
    for entry in session.store.letters.letters():
        try:
            place = places.letter_note(entry.letter)
            note = decode_note(session.seal.open(Direction.STORED, place, entry.note))
        except FrameRejected as error:
            session.refusals.note("A dead letter", error)
            continue
        found.append(DeadLetter(executor, entry, note))
    return found
