"""What to do instead of sending a thing that belongs to one process."""

import types
from typing import Any

_LOCK = (
    "Locks hold back threads of one process; calls run in many. Let calls return values and "
    "combine those in the caller, or make the lock inside the function"
)
_FILE = "Pass the path, and open the file inside the function"
_CONNECTION = (
    "Connections belong to the process that made them: pass what is needed to connect, and connect "
    "inside the function or in the executor's initializer"
)
_QUEUE = "This queue exists in one process only: return the values, or use a queue on a server"
_ITERATOR = (
    "It can only run where it was started: pass list(...) of it, or what is needed to make it"
)
_THREAD = "Threads and processes cannot move: pass what they work on"
_EXECUTOR = "An executor stays in its process: open one inside the function to submit from there"
_FUTURE = "A future stays in its process: pass its result()"
_COROUTINE = "Submit the async function and its arguments; it is awaited in the worker"
_LOCAL = "It means something in its own thread or context only: pass the value it has here"
_WEAK = "A weak reference cannot keep its object alive on the way: pass the object"
_RUNNING = "It is part of the running program: pass text, for example by the module traceback"

#: By module and qualified name, so that nothing need be imported; looked up along the base classes.
_HINTS = {
    "_thread.lock": _LOCK,
    "_thread.RLock": _LOCK,
    "threading.Condition": _LOCK,
    "threading.Semaphore": _LOCK,
    "threading.Event": _LOCK,
    "threading.Barrier": _LOCK,
    "asyncio.mixins._LoopBoundMixin": _LOCK,
    "multiprocessing.synchronize.SemLock": _LOCK,
    "_io._IOBase": _FILE,
    "tempfile._TemporaryFileWrapper": _FILE,
    "mmap.mmap": _FILE,
    "_socket.socket": _CONNECTION,
    "ssl.SSLContext": _CONNECTION,
    "_ssl._SSLContext": _CONNECTION,
    "sqlite3.Connection": _CONNECTION,
    "sqlite3.Cursor": _CONNECTION,
    "multiprocessing.connection._ConnectionBase": _CONNECTION,
    "queue.Queue": _QUEUE,
    "_queue.SimpleQueue": _QUEUE,
    "multiprocessing.queues.Queue": _QUEUE,
    "builtins.generator": _ITERATOR,
    "builtins.async_generator": _ITERATOR,
    "builtins.coroutine": _COROUTINE,
    "threading.Thread": _THREAD,
    "subprocess.Popen": _THREAD,
    "multiprocessing.process.BaseProcess": _THREAD,
    "concurrent.futures._base.Executor": _EXECUTOR,
    "concurrent.futures._base.Future": _FUTURE,
    "_asyncio.Future": _FUTURE,
    "asyncio.futures.Future": _FUTURE,
    "asyncio.events.AbstractEventLoop": _EXECUTOR,
    "_thread._local": _LOCAL,
    "_contextvars.Context": _LOCAL,
    "_contextvars.ContextVar": _LOCAL,
    "_contextvars.Token": _LOCAL,
    "weakref.ReferenceType": _WEAK,
    "builtins.frame": _RUNNING,
    "builtins.traceback": _RUNNING,
}

#: Ends of class names that mean a connection in most libraries.
_CONNECTION_NAMES = ("Connection", "Cursor", "Engine", "Session", "Client", "Pool")


def hint_for(value: Any) -> str:
    """Return what to do instead of sending *value*; empty if nothing is known about its type."""
    if hint := _known(value):
        return hint
    if type(value).__name__.endswith(_CONNECTION_NAMES):
        return _CONNECTION
    if isinstance(value, types.FunctionType):
        return "It is sent by value, with all that it uses"
    return ""


def is_bound_to_process(value: Any) -> bool:
    """Whether *value* as a whole cannot move: a future is to blame, and not the lock inside it."""
    return bool(_known(value))


def _known(value: Any) -> str:
    for kind in type(value).__mro__:
        if hint := _HINTS.get(f"{kind.__module__}.{kind.__qualname__}"):
            return hint
    return ""
