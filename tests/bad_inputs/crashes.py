"""Calls that harm the process that runs them. None may run in the process of the tests."""

import builtins
import contextlib
import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

from properties import calls


def leave(caller: int, code: int) -> None:
    _check(caller)
    os._exit(code)


def segfault(caller: int) -> None:
    _check(caller)
    # The crash is meant: no stack dump into the output of the tests.
    faulthandler.disable()
    ctypes.string_at(0)


def abort(caller: int) -> None:
    _check(caller)
    faulthandler.disable()
    os.abort()


def kill_itself(caller: int, number: int) -> None:
    _check(caller)
    os.kill(os.getpid(), number)
    time.sleep(30)


def close_descriptors(caller: int) -> None:
    _check(caller)
    os.closerange(3, 1000)


def change_surroundings(caller: int) -> None:
    """Leave behind another folder, mask, environment and import path."""
    _check(caller)
    os.chdir("/")
    os.umask(0o777)
    os.environ.clear()
    sys.path.clear()


def ignore_signals(caller: int) -> None:
    _check(caller)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)


def close_streams(caller: int) -> None:
    _check(caller)
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def replace_builtins(caller: int) -> None:
    _check(caller)
    time.sleep = None  # type: ignore[assignment]
    time.time = None  # type: ignore[assignment]
    time.monotonic = None  # type: ignore[assignment]
    builtins.print = None  # type: ignore[assignment]


def start_others(caller: int, mark: str) -> list[str]:
    """Leave a thread and a process behind that never end by themselves."""
    _check(caller)
    threading.Thread(target=time.sleep, args=(300,)).start()
    child = subprocess.Popen(["sleep", "300"])
    return [str(child.pid), mark]


def fork_and_return(caller: int) -> int:
    """Return in two processes."""
    _check(caller)
    if os.fork() == 0:
        return -1
    return os.getpid()


def fork_and_raise(caller: int) -> int:
    """Return in one process, and raise in another."""
    _check(caller)
    if os.fork() == 0:
        raise ValueError("in the other process")
    return os.getpid()


def raise_ghost(caller: int) -> None:
    """Raise an exception of a module that exists in this process only."""
    _check(caller)
    ghost = types.ModuleType("ghost_module")
    sys.modules["ghost_module"] = ghost
    exec("class Ghost(Exception): pass", ghost.__dict__)
    raise ghost.Ghost("boo")


def print_much(lines: int) -> int:
    for number in range(lines):
        print("line", number, "x" * 80)
    return lines


def write_invalid(size: int) -> int:
    """Write what is no text, past every layer."""
    data = b"\xff\xfe" * 2048
    for _ in range(size // len(data)):
        os.write(1, data)
    return size


def nested(depth: int, cluster: Any) -> int:
    """Submit to an executor of its own, and wait; so does the call that it submits."""
    import distexec

    if depth == 0:
        return 0
    with distexec.DistributedExecutor(1, cluster=cluster) as executor:
        return executor.submit(nested, depth - 1, cluster).result(timeout=25) + 1


def nested_map(width: int, cluster: Any) -> list[int]:
    """Map over an executor of its own."""
    import distexec

    with distexec.DistributedExecutor(1, cluster=cluster) as executor:
        return list(executor.map(calls.square, range(width), timeout=25))


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1)


def ends(pid: str) -> bool:
    """Say whether a process has ended."""
    with contextlib.suppress(FileNotFoundError):
        return "State:\tZ" in Path("/proc", pid, "status").read_text()
    return True


def _check(caller: int) -> None:
    if os.getpid() == caller:
        raise AssertionError("would harm the process of the tests")
