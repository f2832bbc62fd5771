"""When a failed call runs again is decided by its policy alone."""

from hypothesis import given
from hypothesis import strategies as st

from distexec.errors import CallTimeout, Reject
from distexec.scheduling.retries import LONGEST_PAUSE_SECONDS, RetryPolicy, pause_before_retry

PAUSES = st.floats(0, 1e6)
CHANCES = st.floats(0, 1)


def pauses(policy: RetryPolicy, error: BaseException) -> list[float | None]:
    """The pauses after one failure, after two, and so on, without chance."""
    return [
        pause_before_retry(policy, error, failures=n, chance=0.5)
        for n in range(1, policy.retries + 2)
    ]


def test_pauses_double_by_default() -> None:
    """One second, two, four: as the documentation says."""
    assert pauses(RetryPolicy(retries=4), OSError()) == [1, 2, 4, 8, None]


def test_pauses_can_be_listed() -> None:
    """The last one is repeated."""
    assert pauses(RetryPolicy(retries=4, backoff=(5, 1)), OSError()) == [5, 1, 1, 1, None]


def test_no_other_kind_is_retried() -> None:
    """Nor what must not be, however general the kinds to retry are."""
    policy = RetryPolicy(retries=1, retry_on=(OSError,), dont_retry_on=(ConnectionError,))

    assert pauses(policy, PermissionError())[0] == 1
    assert pauses(policy, CallTimeout(1, "here"))[0] == 1
    assert pauses(policy, ConnectionResetError())[0] is None
    assert pauses(policy, KeyError())[0] is None
    assert pauses(RetryPolicy(retries=1, retry_on=(BaseException,)), Reject())[0] is None


@given(PAUSES, st.integers(1, 1000), st.floats(0, 1), CHANCES)
def test_pauses_stay_in_bounds(backoff: float, failures: int, jitter: float, chance: float) -> None:
    """However often it failed: a retry comes within minutes, and never before its failure."""
    policy = RetryPolicy(retries=1000, backoff=backoff, jitter=jitter)

    pause = pause_before_retry(policy, OSError(), failures=failures, chance=chance)

    assert pause is not None
    assert 0 <= pause <= max(backoff, LONGEST_PAUSE_SECONDS) * (1 + jitter)
