"""Starts the embedded cluster's node in the caller's surroundings: path, folder, environment."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from distexec.engine.guard import Process
from distexec.errors import ClusterUnavailable
from distexec.store.endpoint import Endpoint

LOG_FILE = "node.log"

_COMMAND = ("-m", "distexec.engine.supervisor", "--embedded")

#: Libraries that start as many threads as there are processors, in each process that loads them.
_THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


def usable_processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def launch_node(
    folder: Path, endpoint: Endpoint, secret: bytes, *, name: str, queues: Sequence[str], slots: int
) -> Process:
    """Start a node for the server in *folder* and return at once; it waits for the server itself.

    What it must know travels by stdin, so that the secret is in no command line or environment.

    Raises:
        ClusterUnavailable: The process cannot be started.
    """
    cwd = working_folder()
    order = {
        "endpoint": endpoint.to_json(),
        "secret": secret.hex(),
        "node": name,
        "queues": list(queues),
        "slots": slots,
        "sys_path": import_path(sys.path, cwd),
        "log": str(folder / LOG_FILE),
    }
    try:
        if not sys.executable:
            raise ClusterUnavailable(
                "no embedded cluster: sys.executable does not say which Python runs this program"
            )
        # -P: a queue.py or json.py in the current folder must not break the node's start.
        process = Process(
            [sys.executable, "-P", *["-O"] * sys.flags.optimize, *_COMMAND],
            stdin=subprocess.PIPE,
            # The real descriptors, whatever sys.stdout is under pytest or Jupyter.
            stdout=_inherited(1),
            stderr=_inherited(2),
            env=node_environment(os.environ, slots),
            cwd=cwd,
        )
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(json.dumps(order).encode() + b"\n")
    except BrokenPipeError:
        return process  # It ended already; who waits for it tells why.
    except OSError as error:
        raise ClusterUnavailable(f"the cluster's node cannot start: {error}") from error
    return process


def node_environment(
    environment: Mapping[str, str], slots: int, processors: int | None = None
) -> dict[str, str]:
    """The caller's environment, with bytecode allowed and numerical libraries kept in bounds."""
    changed = dict(environment)
    # Without its bytecode Celery takes four times as long to import.
    changed.pop("PYTHONDONTWRITEBYTECODE", None)
    threads = max(1, (processors or usable_processors()) // slots)
    for name in _THREAD_LIMITS:
        changed.setdefault(name, str(threads))
    # `-m` finds this package also where only the caller's sys.path has it.
    root = str(Path(__file__).parents[2])
    entries = changed.get("PYTHONPATH", "").split(os.pathsep)
    if root not in entries and not root.endswith(("site-packages", "dist-packages")):
        changed["PYTHONPATH"] = os.pathsep.join([root, *filter(None, entries)])
    return changed


def import_path(path: Sequence[object], cwd: str) -> list[str]:
    """*path* for a process that may change its folder: every entry absolute, each once."""
    absolute = (os.path.join(cwd, entry) for entry in path if isinstance(entry, str))
    return list(dict.fromkeys(entry.rstrip("/") or "/" for entry in absolute))


def working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        home = os.path.expanduser("~")
        return home if os.path.isdir(home) else "/"


def _inherited(descriptor: int) -> int:
    try:
        os.fstat(descriptor)
    except OSError:  # A service without output: the number would go to the node's next file.
        return subprocess.DEVNULL
    return descriptor
