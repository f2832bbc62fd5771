"""`options(retries=...)`: a call that failed runs again, holds nothing meanwhile, and can stop."""

import pytest

import distexec
from conftest import eventually
from properties import calls

from . import deeds

#: No test waits for such a pause.
NEVER = 1000.0


def test_a_call_is_tried_until_it_works(
    executor: distexec.DistributedExecutor, ledger: str
) -> None:
    """With the same id each time: an idempotency key, as a payment needs it."""
    view = executor.options(retries=5, backoff=0.01)
    future = view.submit(deeds.fail_until, ledger, 3, ConnectionError("refused"))

    call_id, attempt = future.result(timeout=25)

    assert attempt == future.attempts == 3
    assert calls.read_ledger(ledger) == [f"{call_id} {n}" for n in (1, 2, 3)]
    assert len(future.history) == 2
    assert all("ConnectionError: refused; again after" in line for line in future.history)
    seen = executor.statistics()
    assert (seen.done, seen.failed, seen.retried, seen.resting) == (1, 0, 2, 0)


def test_the_last_error_is_the_outcome(executor: distexec.DistributedExecutor, ledger: str) -> None:
    """Used up is used up; the future tells of each attempt."""
    view = executor.options(retries=2, backoff=[0.01, 0.02])
    future = view.submit(deeds.fail_until, ledger, 9, KeyError("gone"))

    assert isinstance(future.exception(timeout=25), KeyError)
    assert (future.attempts, len(future.history)) == (3, 2)
    assert len(calls.read_ledger(ledger)) == 3
    assert executor.statistics().failed == 1


@pytest.mark.parametrize(
    ("error", "options", "starts"),
    [
        (ConnectionResetError("x"), {"retry_on": ConnectionError}, 2),
        (ValueError("x"), {"retry_on": (ConnectionError, TimeoutError)}, 1),
        (ConnectionResetError("x"), {"dont_retry_on": ConnectionResetError}, 1),
        (ConnectionError("x"), {"dont_retry_on": (ConnectionResetError,)}, 2),
        (SystemExit(3), {}, 1),
        (SystemExit(3), {"retry_on": BaseException}, 2),
        (distexec.Reject("x"), {"retry_on": BaseException}, 1),
    ],
)
def test_only_what_was_asked_for_is_retried(
    ledger: str, error: BaseException, options: dict[str, type[BaseException]], starts: int
) -> None:
    """What no retry mends would only fail later."""
    with distexec.DistributedExecutor(1, cluster="threads") as executor:
        view = executor.options(retries=1, backoff=0.001, **options)
        future = view.submit(deeds.fail_until, ledger, 9, error)

        assert type(future.exception(timeout=25)) is type(error)
        assert len(calls.read_ledger(ledger)) == starts


def test_reject_says_why(executor: distexec.DistributedExecutor, ledger: str) -> None:
    """The call itself knows best."""
    future = executor.options(retries=5, backoff=0.01).submit(deeds.reject, ledger)

    with pytest.raises(distexec.Reject, match="an empty row"):
        future.result(timeout=25)
    assert calls.read_ledger(ledger) == ["start"]


def test_a_resting_call_holds_no_slot_and_can_be_cancelled(
    executor: distexec.DistributedExecutor, ledger: str
) -> None:
    """A hundred calls that wait for a server to come back must not stop all others."""
    view = executor.options(retries=1, backoff=NEVER)
    resting = [view.submit(deeds.fail_until, ledger, 2, OSError("x")) for _ in range(5)]
    eventually(lambda: executor.statistics().resting == 5)

    assert list(executor.map(calls.square, range(5))) == [n * n for n in range(5)]
    assert not any(future.running() or future.done() for future in resting)
    assert all(future.cancel() for future in resting)
    assert all(future.cancelled() for future in resting)
    assert executor.statistics().resting == 0
    assert len(calls.read_ledger(ledger)) == 5


def test_shutdown_waits_for_retries(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """What was submitted completes: that is what ``with`` says."""
    for cluster in (two_slots, "threads"):
        with distexec.DistributedExecutor(2, cluster=cluster) as executor:
            view = executor.options(retries=2, backoff=0.05)
            futures = [view.submit(deeds.fail_until, ledger, 3, OSError("x")) for _ in range(3)]
        assert [future.result(timeout=0).attempt for future in futures] == [3] * 3


def test_shutdown_can_cancel_retries(executor: distexec.DistributedExecutor, ledger: str) -> None:
    """Who wants to leave does not wait for a pause of an hour."""
    view = executor.options(retries=1, backoff=NEVER)
    resting = view.submit(deeds.fail_until, ledger, 2, OSError("x"))
    eventually(lambda: executor.statistics().resting == 1)

    executor.shutdown(cancel_futures=True)

    assert resting.cancelled()


def test_a_broken_executor_fails_what_rests(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """No future waits for ever, resting ones included."""
    with distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor:
        view = executor.options(retries=1, backoff=NEVER)
        resting = view.submit(deeds.fail_until, ledger, 2, OSError("x"))
        eventually(lambda: executor.statistics().resting == 1)

        executor.kill_workers()

        assert isinstance(resting.exception(timeout=25), distexec.WorkerLost)


def test_a_timeout_is_retried(executor: distexec.DistributedExecutor, ledger: str) -> None:
    """Slow servers are the commonest reason for both options."""
    view = executor.options(timeout=0.3, retries=50, retry_on=TimeoutError, backoff=[0.01])
    future = view.submit(deeds.sleep_until, ledger, 2)

    assert future.result(timeout=25) == future.attempts >= 2
    assert "CallTimeout" in future.history[0]


def test_a_lost_worker_uses_up_no_retry(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """The two are counted apart: one is the call's doing, the other is not."""
    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        view = executor.options(retries=1, backoff=0.01)
        future = view.submit(deeds.die_then_fail_then_return, ledger)

        assert future.result(timeout=25) == 3
    assert calls.read_ledger(ledger) == ["1", "2", "3"]
    assert "SIGKILL" in future.history[0] and "ConnectionError" in future.history[1]
