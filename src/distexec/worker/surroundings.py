"""Makes a child process look as calls expect: folder, path, environment, initializer."""

import contextlib
import os
import sys
from collections import OrderedDict
from typing import Final

from distexec.store.port import ExecutorRef
from distexec.wire.exceptions import pack_exception
from distexec.wire.records import ExecutorSpec, Surroundings
from distexec.wire.values import unpack_arguments, unpack_function

#: Executors whose initializer ran in this process, the least recently served first, with the packed
#: exception if it failed.
_initialised: OrderedDict[tuple[int, ExecutorRef], bytes | None] = OrderedDict()

#: Executors that are remembered: by far more than a process serves in turns.
MOST_EXECUTORS: Final = 1024


def prepare(ref: ExecutorRef, spec: ExecutorSpec) -> bytes | None:
    """Take over the caller's surroundings, and run the initializer once per process and executor.

    Returns:
        The packed exception of a failed initializer; ``None`` if all is well.
    """
    if spec.surroundings is not None:
        _take_over(spec.surroundings)
    if spec.initializer is None:
        return None
    key = (os.getpid(), ref)
    if key not in _initialised:
        _initialised[key] = _initialise(spec.initializer, spec.initargs)
    _initialised.move_to_end(key)
    if len(_initialised) > MOST_EXECUTORS:
        _initialised.popitem(last=False)
    return _initialised[key]


def _initialise(packed: bytes, initargs: bytes) -> bytes | None:
    try:
        initializer = unpack_function(packed)
        args, kwargs = unpack_arguments(initargs)
        initializer(*args, **kwargs)
    except BaseException as error:
        return pack_exception(error)
    return None


def _take_over(wanted: Surroundings) -> None:
    with contextlib.suppress(OSError):  # The folder may be gone; the caller would notice as well.
        if os.getcwd() != wanted.directory:
            os.chdir(wanted.directory)
    if tuple(sys.path) != wanted.sys_path:
        sys.path[:] = wanted.sys_path
    if dict(os.environ) != wanted.variables:
        for name in os.environ.keys() - wanted.variables.keys():
            del os.environ[name]
        os.environ.update(wanted.variables)
