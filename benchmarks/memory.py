"""How much memory of the caller does a call take that waits for a worker?

All workers are held, and so many more calls are submitted; counted by `tracemalloc`, with the
future that the caller holds and the pickled argument, of some 20 bytes.
"""

import gc
import tempfile
import tracemalloc
from pathlib import Path

from _contenders import ExecutorPool
from _contest import WORKERS, contest
from _report import Report, read_options, run
from _work import hold, noop

CALLS = 20_000

NAMES = ("distexec", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky")


def measure(pool: ExecutorPool, calls: int) -> float:
    """Bytes for each waiting call."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        gate = Path(folder, "gate")
        held = [pool.executor.submit(hold, str(gate)) for _ in range(WORKERS)]
        futures: list[object] = [None] * calls
        gc.collect()
        tracemalloc.start()
        for number in range(calls):
            futures[number] = pool.executor.submit(noop, number)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gate.touch()
        for future in (*held, *futures):
            future.result()  # type: ignore[attr-defined]
    return used / calls


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report("memory", __doc__ or "", "bytes", plot="for each call")
    with contest(measure, NAMES, options) as open_contest:
        found = open_contest.rounds(options.rounds, 200 if options.quick else CALLS)
    for name, samples in found.items():
        report.add(name, "for each call", samples)
    report.target("at most 1 KB", report.median("distexec", "for each call"), at_most=1024)
    report.finish(options)


if __name__ == "__main__":
    run(main)
