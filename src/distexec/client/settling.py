"""How a future gets its outcome: as the standard library's methods do it, in one piece.

Those are several Python functions for each call, and the collector's thread is the busiest one of a
caller. Compiled, this is one.
"""

from concurrent.futures import InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED
from typing import Any

_OVER = frozenset({CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED})


def end(future: Any, *, result: Any = None, error: BaseException | None = None) -> bool:
    """Do what ``set_result`` or ``set_exception`` do, but for running callbacks.

    Returns:
        Whether there are callbacks, which the caller must let run.

    Raises:
        InvalidStateError: It has an outcome.
    """
    condition = future._condition
    with condition:
        if future._state in _OVER:
            raise InvalidStateError(f"{future._state}: {future!r}")
        if error is None:
            future._result = result
        else:
            future._exception = error
        future._state = FINISHED
        for waiter in future._watched_by or ():
            if error is None:
                waiter.add_result(future)
            else:
                waiter.add_exception(future)
        if condition._waited is not None:
            condition.notify_all()
    # Not before: until then `cancel` must find the call, and that it is settled.
    let_go(future)
    return bool(future._calls_back)


def let_go(future: Any) -> None:
    """Let *future* go of its call, with what that holds."""
    call = future._call
    if call is not None:
        future._went = call.went()
    future._call = future._revoker = None
