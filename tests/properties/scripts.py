"""Programs of their own, for what can only be seen from outside: exits, signals, forks."""

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import IO

import psutil

from conftest import eventually

#: Every process that a program starts inherits it: they are found by it when the program is gone.
MARK = "DISTEXEC_TEST_PROGRAM"

#: How a program gets its executors: moving it to us is changing this line.
IMPORTS = {
    "stdlib-threads": "from concurrent.futures import ThreadPoolExecutor as make",
    "twin": (
        "import functools, distexec\n"
        "make = functools.partial(distexec.DistributedExecutor, cluster='threads')"
    ),
    "embedded": "from distexec import DistributedExecutor as make",
    "embedded-threads": "from distexec import ThreadPoolExecutor as make",
    "embedded-processes": "from distexec import ProcessPoolExecutor as make",
}

_PREFACE = """\
import atexit, fcntl, os, signal, sys, termios, threading, time
from concurrent.futures import wait
import calls
folder = sys.argv[1]
ledger = folder + "/ledger"
gate = folder + "/gate"
{imports}
"""


class Program:
    """A running program, and everything that it started."""

    def __init__(
        self,
        world: str,
        body: str,
        folder: Path,
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        new_session: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        script = folder / "program.py"
        script.write_text(_PREFACE.format(imports=IMPORTS[world]) + body)
        self.mark = uuid.uuid4().hex
        here = str(Path(__file__).parent)
        self.process = subprocess.Popen(
            # The newest Pythons warn of every fork in a process with threads.
            [sys.executable, "-W", "ignore:This process:DeprecationWarning", script, folder],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)]),
                **(environment or {}),
                MARK: self.mark,
            },
            start_new_session=new_session,
        )

    def line(self) -> str:
        """Read the next line of the program's output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def finish(self, timeout: float = 30.0) -> tuple[int, str, str]:
        """Wait for its end, and return the exit code and the rest of its output and errors."""
        try:
            output, errors = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._kill()
            output, errors = self.process.communicate()
            raise AssertionError(f"the program hangs\n{output}\n{errors}") from None
        return self.process.returncode, output, errors

    def survivors(self) -> list[str]:
        """Describe the living processes that the program started, itself included."""
        described = []
        for process in self._family():
            with contextlib.suppress(psutil.Error):  # Ended meanwhile.
                described.append(" ".join(process.cmdline()))
        return described

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End whatever is left, so that a failed test disturbs no other."""
        if kind is None and self.process.poll() is not None:
            # What ends by itself removes its files, too: a killed guard leaves a folder behind.
            with contextlib.suppress(AssertionError):
                eventually(lambda: not self._family())
        self._kill()
        with self.process:  # Closes its pipes, and reaps it.
            pass

    def _kill(self) -> None:
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _family(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue  # Ended meanwhile, or somebody else's.
        return found


def run(world: str, body: str, folder: Path, **keywords: dict[str, str]) -> tuple[int, str, str]:
    """Run a program to its end; return its exit code, output and errors."""
    with Program(world, body, folder, **keywords) as program:  # type: ignore[arg-type]
        return program.finish()
