"""What a slot does with a wake-up: finds an executor that wants it, and serves it as a lease."""

import contextlib
import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

from distexec.errors import DistexecError, FrameRejected
from distexec.scheduling.histogram import Histogram
from distexec.settings import Settings
from distexec.store.lease_port import Bid, LeaseStore, Parcel
from distexec.store.port import ExecutorRef, KeyDamaged
from distexec.wire import places
from distexec.wire.codec import encode_replies
from distexec.wire.compression import Codec
from distexec.wire.records import Demand, ExecutorSpec, Reply, ReplyKind
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Direction, Seal
from distexec.wire.values import unpack_result
from distexec.worker import context, logs
from distexec.worker.blobs import LeaseBlobs, cache
from distexec.worker.claims import Claims
from distexec.worker.contact import PASSING
from distexec.worker.lease import Lease
from distexec.worker.limit import Watchdog
from distexec.worker.surroundings import prepare

logger = logging.getLogger(__name__)


def pack_demand(demand: Demand) -> bytes:
    """Write *demand* as the body of its frame."""
    return json.dumps(demand._asdict()).encode()


class Slot:
    """One slot of a node: a child process, or a thread of the in-memory twin.

    Args:
        share: Most leases that the node may hold at a time; ``None`` for no limit.
        should_yield: Whether the node wants its slot back.
        forward_logs: Send logging records to the callers; not where both share a process.
        end_process: Ends the process, which is the slot's own; ``None`` if it is not.
        refusals: Counts what is not signed for this slot.
        watchdog: Ends this process if a call outlasts its time limit; ``None`` where the process
            is not the slot's own.
        on_stuck: Called when a call was given up that still holds the slot's thread.
        tally: Counts how long calls ran.
        on_function: Called with each function that is not the one before.
    """

    def __init__(
        self,
        queue: str,
        store: LeaseStore,
        *,
        node: str,
        seal: Seal,
        settings: Settings,
        share: int | None = None,
        should_yield: Callable[[], bool] = lambda: False,
        forward_logs: bool = True,
        end_process: Callable[[], None] | None = None,
        refusals: Refusals | None = None,
        watchdog: Watchdog | None = None,
        on_stuck: Callable[[], None] = lambda: None,
        tally: Histogram | None = None,
        on_function: Callable[[Callable[..., Any]], None] | None = None,
    ) -> None:
        self._queue, self._store = queue, store
        self._node, self._seal, self._settings, self._share = node, seal, settings, share
        self._node_wants_it = should_yield
        self._forward_logs, self._end_process = forward_logs, end_process
        self._refusals = Refusals() if refusals is None else refusals
        self._watchdog, self._on_stuck = watchdog, on_stuck
        self._tally, self._on_function = tally or Histogram(), on_function
        self._claims = Claims(queue, store, seal, settings, self._refusals, share)
        #: Whether the process must be replaced before it serves again.
        self.worn_out = False

    def serve(self) -> bool:
        """Serve executors until none wants this slot. Raises nothing.

        Returns:
            Whether the child process must be replaced, since an executor limits the calls in it.
        """
        try:
            self._serve_all()
        except KeyDamaged as error:
            self._refusals.note("A key of a lease", error)
        except Exception:
            # What a lease of this process held is found when the process has ended. A call may
            # have left anything broken here, logging too.
            self.worn_out = True
            with contextlib.suppress(Exception):
                logger.exception("A slot of queue %s gives up, with its process", self._queue)
        finally:
            with contextlib.suppress(DistexecError):
                self._claims.drop()
            cache.clear()
        return self.worn_out

    def _serve_all(self) -> None:
        fruitless: set[ExecutorRef] = set()
        while not self.worn_out and not self._node_wants_it():
            try:
                claim = self._claims.next(fruitless)
            except PASSING as error:
                # Nothing was promised yet: who still wants the slot asks for it again.
                logger.info("A slot of queue %s serves nobody: %s", self._queue, error)
                return
            if claim is None:
                return
            if self._serve(claim.ref, claim.lease, self._claims):
                fruitless.clear()
            else:
                # The demand is met, or its stream is none any more. Others may need us.
                fruitless.add(claim.ref)
            self._claims.end()

    def serve_executor(self, ref: ExecutorRef, limit: int, wanted: int) -> None:
        """Serve one executor as a lease, if it admits another, and nobody else."""
        lease = secrets.token_hex(6)
        if self._store.admit(Bid(ref, self._queue, lease, limit, wanted, self._share)):
            self._serve(ref, lease, None)

    def _serve(self, ref: ExecutorRef, lease: str, claims: Claims | None) -> bool:
        """Be a lease of an executor that admitted it; False if no call was run.

        Args:
            claims: Others that the slot may turn to; ``None`` if it is for this executor only.
        """
        spec = self._spec(ref)
        failure = None if spec is None else self._prepare(ref, spec)
        if spec is None or failure is not None:
            if failure is not None:
                self._report_broken(ref, failure)
            self._store.leave(force=True)
            return False
        if self._forward_logs:
            logs.forward(spec.log_level)
        work = Lease(
            self._store,
            lease,
            ref,
            self._queue,
            spec,
            node=self._node,
            seal=self._seal,
            settings=self._settings,
            others_wait=lambda: claims is not None and claims.is_wanted(),
            should_yield=lambda is_free: (
                self._node_wants_it() or (claims is not None and claims.must_turn(is_free=is_free))
            ),
            end_process=self._end_process,
            refusals=self._refusals,
            watchdog=self._watchdog,
            on_stuck=self._on_stuck,
            tally=self._tally,
            on_function=self._on_function,
        )
        work.run()
        if spec.calls_per_child is not None:
            self.worn_out = work.calls_run >= spec.calls_per_child
        return bool(work.calls_run)

    def _prepare(self, ref: ExecutorRef, spec: ExecutorSpec) -> bytes | None:
        """Prepare this process; the initializer may open handles."""
        blobs = LeaseBlobs(self._store, self._seal, ref.session, self._refusals, Codec.NONE)
        context.running.fetch = blobs.fetch
        try:
            return prepare(ref, spec)
        finally:
            context.running.fetch = None

    def _spec(self, ref: ExecutorRef) -> ExecutorSpec | None:
        frame = self._store.spec()
        if frame is None:
            return None
        place = places.spec(ref.session, ref.executor)
        try:
            sealed = self._seal.open(Direction.STORED, place, frame)
        except FrameRejected as error:
            self._refusals.note("An executor's record", error)
            self._store.drop_spec()
            return None
        spec = unpack_result(sealed)
        return spec if isinstance(spec, ExecutorSpec) else None

    def _report_broken(self, ref: ExecutorRef, failure: bytes) -> None:
        reply = Reply(int(ref.executor), ReplyKind.BROKEN, 0, 0.0, 0.0, failure)
        replies = encode_replies([reply])
        frame = self._seal.seal(Direction.REPLY, places.reply(ref.session), replies)
        self._store.reply(Parcel(frame))


def serve(
    queue: str,
    *,
    store: LeaseStore,
    node: str,
    seal: Seal,
    settings: Settings,
    share: int | None = None,
    should_yield: Callable[[], bool] = lambda: False,
) -> bool:
    """Answer one wake-up for *queue*: see `Slot` and `Slot.serve`."""
    slot = Slot(
        queue,
        store,
        node=node,
        seal=seal,
        settings=settings,
        share=share,
        should_yield=should_yield,
    )
    return slot.serve()
