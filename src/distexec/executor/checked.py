"""Check mode: calls run on threads of this process, and are looked at (`distexec.check`)."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from distexec.settings import variables

if TYPE_CHECKING:
    from distexec.check import CheckedPool


def checked_pool(
    cluster: object,
    max_workers: int | None,
    name: str,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> "CheckedPool | None":
    """The threads that run an executor's calls, if they are to be checked.

    They are for ``cluster="check"``, and for every executor of a process that is watched.
    """
    wish = variables().get("DISTEXEC_URL") if cluster is None else cluster
    checker = sys.modules.get("distexec.check")
    if wish != "check" and (checker is None or not checker.is_watching()):
        return None
    from distexec.check import CheckedPool

    return CheckedPool(max_workers, name, initializer, tuple(initargs))
