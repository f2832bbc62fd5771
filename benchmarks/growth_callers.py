"""How many calls that do nothing does one cluster do in a second, for one to sixteen callers?

Each caller is a process with an executor of its own, on one cluster with four slots; more callers
than slots take turns of a second.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection

from _contenders import ExecutorPool
from _contest import WORKERS, start_deaf
from _report import Report, read_options, run
from _work import noop

from distexec import DistributedExecutor, LocalCluster

CALLERS = (1, 2, 4, 8, 16)
SECONDS = 6.0
#: Calls between two looks at the clock.
BURST = 500


def call(url: str, seconds: float, connection: Connection) -> None:
    """One caller: say when ready, and then how many calls were done."""
    with DistributedExecutor(WORKERS, cluster=url) as executor:
        pool = ExecutorPool(executor)
        pool.call(noop)
        connection.send(None)
        connection.recv()
        done, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            pool.each(noop, range(BURST))
            done += BURST
        connection.send(done / (time.monotonic() - end + seconds))


def rates(url: str, callers: int, seconds: float) -> list[float]:
    """Calls/s of each of so many callers at the same time."""
    spawn = multiprocessing.get_context("spawn")
    pipes = [spawn.Pipe() for _ in range(callers)]
    processes = [
        spawn.Process(target=call, args=(url, seconds, theirs), daemon=True) for _, theirs in pipes
    ]
    try:
        for process in processes:
            start_deaf(process)
        for _, theirs in pipes:
            theirs.close()
        for word in (None, "go"):
            for ours, _ in pipes:
                ours.send(word) if word else ours.recv()
        return [ours.recv() for ours, _ in pipes]
    finally:
        for process in processes:
            process.join(10)
            process.terminate()


def main() -> None:
    options = read_options(__doc__, rounds=1)
    report = Report("growth_callers", __doc__ or "", "calls/s", plot="callers", is_curve=True)
    with LocalCluster(WORKERS) as cluster:
        for callers in CALLERS[:2] if options.quick else CALLERS:
            for _ in range(options.rounds):
                found = rates(cluster.url, callers, 0.2 if options.quick else SECONDS)
                report.extend("all callers", str(callers), sum(found))
                report.extend("the slowest caller", str(callers), min(found))
                report.extend("the fastest caller", str(callers), max(found))
    report.finish(options)


if __name__ == "__main__":
    run(main)
