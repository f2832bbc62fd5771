"""Options are checked where they are given: the mistake is in the line that raises."""

import math
from typing import Any

import pytest

import distexec


@pytest.fixture
def executor() -> distexec.DistributedExecutor:
    """Nothing is started before the first submit."""
    return distexec.DistributedExecutor(cluster="threads")


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ({"timeout": 0}, ValueError, "greater than 0"),
        ({"timeout": -1}, ValueError, "0 or more"),
        ({"timeout": math.nan}, ValueError, "nan"),
        ({"timeout": "5"}, TypeError, "seconds"),
        ({"timeout": True}, TypeError, "True"),
        ({"timeout": 10**400}, ValueError, "too large"),
        ({"retries": -1}, ValueError, "from 0"),
        ({"retries": 1.5}, TypeError, "whole number"),
        ({"retries": 10**6}, ValueError, "1000"),
        ({"retries": 1, "retry_on": ValueError("x")}, TypeError, "exception class"),
        ({"retries": 1, "retry_on": (ValueError, 3)}, TypeError, "not 3"),
        ({"retries": 1, "dont_retry_on": "OSError"}, TypeError, "dont_retry_on"),
        ({"retries": 1, "backoff": []}, ValueError, "at least one"),
        ({"retries": 1, "backoff": [1, -1]}, ValueError, "-1"),
        ({"retries": 1, "backoff": math.inf}, ValueError, "finite"),
        ({"retries": 1, "jitter": 2}, ValueError, "from 0 to 1"),
        ({"backoff": 3}, ValueError, "retries="),
        ({"at_most_once": 1}, TypeError, "True or False"),
        ({"at_most_once": True, "retries": 1}, ValueError, "contradict"),
        ({"rate_limit": "100/x"}, ValueError, "written as '100/m'"),
        ({"rate_limit": "0/s"}, ValueError, "numbers above 0"),
        ({"rate_limit": "-5/s"}, ValueError, "written as '100/m'"),
        ({"rate_limit": "1000000/s"}, ValueError, "leave it out"),
        ({"rate_limit": 5}, TypeError, "a text as '100/m'"),
        ({"rate_limit": "5/s", "rate_key": 3}, TypeError, "rate_key must be a text"),
        ({"rate_limit": "5/s", "rate_key": ""}, ValueError, "1 to 200"),
        ({"rate_limit": "5/s", "rate_key": "a\n"}, ValueError, "printable"),
        ({"rate_key": "llm-api"}, ValueError, "give rate_limit="),
        ({"max_concurrency": 0}, ValueError, "1 or more"),
        ({"max_concurrency": 1.5}, TypeError, "whole number"),
        ({"max_concurrency": True}, TypeError, "whole number"),
        ({"key": "database"}, ValueError, "give max_concurrency="),
        ({"timeot": 3}, TypeError, "Did you mean 'timeout'"),
        ({"max_retries": 3}, TypeError, "Did you mean 'retries'"),
    ],
)
def test_a_wrong_option_is_refused(
    executor: distexec.DistributedExecutor,
    options: dict[str, Any],
    error: type[Exception],
    hint: str,
) -> None:
    """Each message says what would be right."""
    with pytest.raises(error, match=hint):
        executor.options(**options)


def test_a_view_made_for_one_map_lasts_as_long(executor: distexec.DistributedExecutor) -> None:
    """Nobody holds it; and `buffersize` submits as results are taken."""
    with executor:
        results = executor.options(timeout=60).map(abs, range(10), buffersize=2)

        assert list(results) == list(range(10))


def test_views_add_up(executor: distexec.DistributedExecutor) -> None:
    """A view of a view keeps what is not given anew; the executor itself is never changed."""
    view = executor.options(timeout=5, retries=3).options(backoff=2, name="load")
    limits = view._options.limits

    assert (limits.timeout, view._options.name) == (5.0, "load")
    assert limits.retry is not None
    assert (limits.retry.retries, limits.retry.backoff) == (3, 2.0)
    assert view.options(timeout=math.inf)._options.limits.timeout == 0
    assert executor._options.limits == executor.options()._options.limits
    with pytest.raises(ValueError, match="contradict"):
        view.options(at_most_once=True)
