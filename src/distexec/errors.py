"""Every error that distexec raises: one root, and what callers of the standard pools already catch.

::

    DistexecError
    ├── ClusterError                         something is wrong with the cluster, not with a call
    │   ├── ClusterUnavailable               (also ConnectionError) nobody answers
    │   ├── ClusterRefused                   (also PermissionError) it answers, and says no
    │   ├── ClusterMismatch                  Python, wire version or secret differ
    │   └── SecretError                      (also ValueError) no secret, or one others can read
    ├── FrameRejected                        a frame that was not signed for this place
    ├── WindowFull                           (also queue.Full) ``max_waiting`` calls wait already
    ├── NotPicklable                         (also pickle.PicklingError) names the path to it
    ├── PayloadTooLarge                      (also ValueError) above ``max_payload``
    ├── RemoteError                          an exception that cannot be rebuilt here
    ├── CallUnpickleError                    (also BrokenProcessPool) failed in the worker
    ├── ResultUnpickleError                  (also BrokenProcessPool) failed in the caller
    ├── ModuleMissing                        (also ModuleNotFoundError) names node and module
    ├── ValueLost                            (also LookupError) a large value is gone for good
    ├── LetterGone                           (also LookupError) the dead letter is not there
    ├── WorkerLost                           (also BrokenProcessPool) the call's worker died
    ├── CallTimeout                          (also TimeoutError) the call outlasted its time limit
    ├── CallKilled                           (also CancelledError) its caller stopped it
    ├── Reject                               raised by a call that must not be retried
    └── InitializerFailed                    (also BrokenProcessPool and BrokenThreadPool)

Each survives pickling: its ``args`` are the arguments of its constructor.
"""

import pickle
import queue
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool


class DistexecError(Exception):
    """Root of every error of this package."""


class ClusterError(DistexecError):
    """Something is wrong with the cluster, not with a call."""


class ClusterUnavailable(ClusterError, ConnectionError):
    """The cluster's server does not answer."""


class ClusterRefused(ClusterError, PermissionError):
    """The server answers and refuses: wrong password, no permission, not such a server."""


class ClusterMismatch(ClusterError):
    """Caller and node do not fit: Python version, wire version or secret."""


class SecretError(ClusterError, ValueError):
    """There is no usable secret to sign with."""


class FrameRejected(DistexecError):
    """Bytes that were not signed with the cluster's secret for the place they were found in."""


class WindowFull(DistexecError, queue.Full):
    """As many calls wait in the caller as ``max_waiting`` allows, and no room came in time."""


class NotPicklable(DistexecError, pickle.PicklingError):
    """A value cannot be sent to another process.

    The message names the path to the culprit, such as ``args[0].conn: sqlite3.Connection``.
    """


class PayloadTooLarge(DistexecError, ValueError):
    """A call or a result is larger than the cluster carries."""


class RemoteError(DistexecError):
    """The call raised an exception that cannot be rebuilt in this process."""

    def __init__(self, type_name: str, text: str, traceback_text: str = "") -> None:
        super().__init__(type_name, text, traceback_text)
        #: Qualified name of the original exception's class.
        self.type_name = type_name
        #: What ``str()`` of the original exception said.
        self.text = text
        #: The original traceback, formatted by the worker.
        self.traceback_text = traceback_text

    def __str__(self) -> str:
        return f"{self.type_name}: {self.text}" if self.text else self.type_name


class CallUnpickleError(DistexecError, BrokenProcessPool, pickle.UnpicklingError):
    """The worker could not unpickle the call's function or arguments; ``__cause__`` says why.

    The standard library's pool breaks then, which is why this is a `BrokenProcessPool` as well;
    ours goes on, and only this call fails.
    """


class ResultUnpickleError(DistexecError, BrokenProcessPool, pickle.UnpicklingError):
    """The caller could not unpickle the call's result; ``__cause__`` says why.

    A `BrokenProcessPool` as well, for the reason given at `CallUnpickleError`.
    """


class ModuleMissing(DistexecError, ModuleNotFoundError):
    """The node cannot import a module that the call needs."""

    def __init__(self, module: str, node: str) -> None:
        super().__init__(module, node)
        self.module, self.node = module, node
        self.name = module

    def __str__(self) -> str:
        return (
            f"node {self.node!r} has no module {self.module!r}: install it there, or send the "
            f"caller's own with DistributedExecutor(ship=[{self.module.partition('.')[0]!r}])"
        )


class ValueLost(DistexecError, LookupError):
    """A large value that the call uses is gone, and the caller has it no more."""

    def __init__(self, call: str, value: str) -> None:
        super().__init__(call, value)
        #: Name of the function that was called.
        self.call = call
        #: Names the value, in logs.
        self.value = value

    def __str__(self) -> str:
        return (
            f"{self.call} needs the value {self.value}, which is gone: the program that put it "
            "has ended, or its file was removed or changed. Put it again"
        )


class WorkerLost(DistexecError, BrokenProcessPool):
    """The processes that ran the call ended before it did, each time it was tried."""

    def __init__(self, call: str, attempts: tuple[str, ...] = ()) -> None:
        super().__init__(call, attempts)
        #: Name of the function that was called.
        self.call = call
        #: One line per attempt: node, process, and how it ended.
        self.attempts = attempts

    def __str__(self) -> str:
        story = "".join(f"\n  attempt {n}: {line}" for n, line in enumerate(self.attempts, start=1))
        return f"the worker process running {self.call} was lost{story}"


class LetterGone(DistexecError, LookupError):
    """The dead letter was dropped, or expired."""

    def __init__(self, letter: str) -> None:
        super().__init__(letter)
        #: Its id.
        self.letter = letter

    def __str__(self) -> str:
        return f"there is no dead letter {self.letter!r} (any more): see `distexec dead list`"


class CallTimeout(DistexecError, TimeoutError):
    """The call ran longer than its ``timeout``; what `Future.result` waits for is another thing."""

    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(seconds, where)
        #: The limit.
        self.seconds = seconds
        #: Node and process, and how the call was stopped.
        self.where = where

    def __str__(self) -> str:
        return f"the call ran longer than its timeout of {self.seconds:g} s: {self.where}"


class CallKilled(DistexecError, CancelledError):
    """The call was stopped by `Future.kill` while it ran, with its process."""

    def __init__(self, call: str = "", where: str = "") -> None:
        super().__init__(call, where)
        #: Name of the function that was called.
        self.call = call
        #: Node and process.
        self.where = where

    def __str__(self) -> str:
        return f"{self.call} was killed by its caller: {self.where}"


class Reject(DistexecError):
    """Raised by a call to say that no retry will mend it: its input is wrong, say.

    Example:
        >>> def load(row):
        ...     if not row:
        ...         raise distexec.Reject("an empty row")
    """


class InitializerFailed(DistexecError, BrokenProcessPool, BrokenThreadPool):
    """The executor's initializer raised in a worker, so the executor is broken."""


def caused(failure: Exception, cause: BaseException) -> Exception:
    """Return *failure* with its cause: compiled code does not know what "from" says."""
    failure.__cause__ = cause
    return failure
