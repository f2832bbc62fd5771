"""Row 26: CPython's crash matrix, each of three ends at each of five places of a call's way.

As there, no outcome may be a hang, and the next call must work. The standard pool breaks where a
worker ends; ours ends the one call, with an error that is a `BrokenProcessPool` too.
"""

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest

import distexec
from cluster.rig import PATHS

from . import crashing, ledger
from .rig import Rig

#: What the call ends with.
MATRIX: dict[tuple[str, str], type[BaseException]] = {
    ("argument pickling", "error"): ValueError,
    ("argument pickling", "exit"): SystemExit,
    ("argument unpickling", "error"): distexec.CallUnpickleError,
    ("argument unpickling", "exit"): distexec.CallUnpickleError,
    ("argument unpickling", "crash"): distexec.WorkerLost,
    ("execution", "error"): ValueError,
    ("execution", "exit"): SystemExit,
    ("execution", "crash"): distexec.WorkerLost,
    ("result pickling", "error"): ValueError,
    ("result pickling", "exit"): SystemExit,
    ("result pickling", "crash"): distexec.WorkerLost,
    ("result unpickling", "error"): distexec.ResultUnpickleError,
    ("result unpickling", "exit"): distexec.ResultUnpickleError,
}

ARGUMENTS = {"argument pickling": crashing.AtPickling, "argument unpickling": crashing.AtUnpickling}


@pytest.mark.parametrize(("place", "how"), MATRIX)
def test_row_26_ends_at_each_place(rig: Rig, place: str, how: str) -> None:
    """The call ends with an error that says what happened, and the executor works on."""
    with rig.processes(2) as executor:
        if place in ARGUMENTS:
            future = executor.submit(crashing.ignore, ARGUMENTS[place](how))
        else:
            future = executor.submit(crashing.run, place, how)

        error = future.exception(timeout=60)

        assert isinstance(error, MATRIX[place, how] | pickle.PicklingError), repr(error)
        if how == "crash":
            assert isinstance(error, BrokenProcessPool) and "SIGSEGV" in str(error)
        assert executor.submit(ledger.expected, 3).result(timeout=30) == 16


@pytest.mark.parametrize("place", ["argument pickling", "result unpickling"])
def test_row_26_crashes_of_the_caller_itself(rig: Rig, place: str) -> None:
    """They end the caller, as with any pool; the cluster serves the next one."""
    call = (
        "crashing.ignore, crashing.AtPickling('crash')"
        if place == "argument pickling"
        else f"crashing.run, {place!r}, 'crash'"
    )
    program = f"""
import distexec
from faults import crashing
with distexec.ProcessPoolExecutor(2, cluster={rig.url()!r}) as executor:
    executor.submit({call}).result(timeout=30)
"""
    ended = subprocess.run(
        [sys.executable, "-"],
        input=program,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(PATHS),
            "DISTEXEC_SESSION_EXPIRY_SECONDS": "1",
            "DISTEXEC_KEY_EXPIRY_SECONDS": "2",
        },
    )

    assert ended.returncode == -signal.SIGSEGV
    with rig.processes(2) as executor:
        assert executor.submit(ledger.expected, 3).result(timeout=30) == 16
