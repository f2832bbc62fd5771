"""How long does a program take from its start to its first result?

Each program is a fresh process; its end is not counted. The row of imports is a process that only
imports, less one that imports `concurrent.futures`.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from _contenders import is_installed
from _contest import seconds_of
from _report import Report, read_options, run

PROGRAMS = {
    "distexec": """
import distexec
executor = distexec.DistributedExecutor(2)
assert executor.submit(pow, 2, 10).result() == 1024
""",
    "ProcessPoolExecutor": """
from concurrent.futures import ProcessPoolExecutor
executor = ProcessPoolExecutor(2)
assert executor.submit(pow, 2, 10).result() == 1024
""",
    "loky": """
from loky import ProcessPoolExecutor
executor = ProcessPoolExecutor(2)
assert executor.submit(pow, 2, 10).result() == 1024
""",
    "dask": """
from distributed import Client, LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    assert Client(cluster).get_executor().submit(pow, 2, 10).result() == 1024
""",
    "ray": """
import ray
def power(base, exponent):  # It takes no built-in functions.
    return base ** exponent
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
assert ray.get(ray.remote(power).remote(2, 10)) == 1024
""",
}
IMPORTS = ("concurrent.futures", "distexec")

#: Seconds after which a program counts as hung: the slowest take ten.
PATIENCE_SECONDS = 60.0

_TOLD = "first result"
_TELL = f"""
if __name__ == "__main__":
    print({_TOLD!r}, flush=True)
"""


def first_result(program: str) -> float | None:
    """Seconds from the start of Python to the first result; ``None`` if there is none in time."""
    # In a file, since some start processes that import it again.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        script = Path(folder, "program.py")
        script.write_text(program + _TELL)
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        with contextlib.closing(Patience(process)), process:
            assert process.stdout is not None
            told = any(line.strip() == _TOLD for line in process.stdout)
            seconds = time.perf_counter() - started
            process.stdout.read()
    return seconds if told else None


class Patience:
    """Ends a program with all that it started: when it takes too long, and when this is closed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._group = process.pid
        self._timer = threading.Timer(PATIENCE_SECONDS, self.close)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """End what is left."""
        self._timer.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)


def import_module(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def main() -> None:
    options = read_options(__doc__, rounds=4)
    names = [name for name in PROGRAMS if not options.only or name in options.only]
    for name in [name for name in names if not is_installed(name)]:
        print(f"{name}: skipped, it is not installed")
        options.missing[name] = "is not installed"
        names.remove(name)
    report = Report("cold_start", __doc__ or "", "seconds", plot="first result")
    found: dict[str, list[float]] = {name: [] for name in names}
    imports: dict[str, list[float]] = {module: [] for module in IMPORTS}
    for round_ in range(options.rounds + 1):
        for name in list(names):
            seconds = first_result(PROGRAMS[name])
            if seconds is None and name == "distexec":
                raise RuntimeError("distexec ended without a result")
            if seconds is None:
                print(f"{name}: ended without a result")
                options.missing[name] = "ended without a result"
                names.remove(name)
                del found[name]
            elif round_:
                found[name].append(seconds)
        for module in IMPORTS:
            imports[module].append(seconds_of(import_module, module))
    for name, samples in found.items():
        report.add(name, "first result", samples)
    standard, ours = (statistics.median(imports[module][1:]) for module in IMPORTS)
    report.target(
        "import distexec, in ms over the standard library", 1000 * (ours - standard), at_most=30
    )
    for peer in ("dask", "ray"):
        report.target(f"below {peer}", report.ratio("first result", "distexec", peer), at_most=1)
    report.finish(options)


if __name__ == "__main__":
    run(main)
