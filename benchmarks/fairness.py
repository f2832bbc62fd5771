"""How fairly do programs share too few slots, and how long does urgent work wait for a busy one?

Twenty programs submit 500 calls each, all at once, to two slots. Then one program keeps both slots
busy with calls of 100 ms, and another one makes an urgent call now and then: how long until it
starts, and what is left to the first program while urgent calls come without a pause.
"""

import contextlib
import multiprocessing
import statistics
import time
from concurrent.futures import Future
from multiprocessing.connection import Connection

from _contest import start_deaf
from _report import Report, read_options, run
from _work import rest

import distexec

SLOTS = 2
CALL_SECONDS = 0.1


def noted() -> float:
    """When this call began, by a clock that all processes of a machine share."""
    return time.monotonic()


def program(connection: Connection, url: str, calls: int) -> None:
    """One program: connects, waits for the start, and tells how long its calls took together."""
    with distexec.ProcessPoolExecutor(SLOTS, cluster=url) as executor:
        executor.submit(rest, 0).result()
        connection.send("ready")
        connection.recv()
        began = time.monotonic()
        for future in [executor.submit(rest, 0.002) for _ in range(calls)]:
            future.result()
        connection.send(time.monotonic() - began)


def share(url: str, programs: int, calls: int) -> list[float]:
    """Seconds that each of so many programs took, all at once."""
    spawn = multiprocessing.get_context("spawn")
    connections, processes = [], []
    for _ in range(programs):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=program, args=(theirs, url, calls))
        start_deaf(process)
        theirs.close()
        connections.append(ours)
        processes.append(process)
    try:
        for connection in connections:
            connection.recv()
        for connection in connections:
            connection.send("go")
        return [connection.recv() for connection in connections]
    finally:
        for process in processes:
            process.join(20)
            process.kill()


class Flood:
    """A program that keeps all slots busy with work of one priority, and counts it."""

    def __init__(self, executor: distexec.Executor, priority: int) -> None:
        self._view = executor.options(priority=priority)
        self._is_stopping = False
        self.done = 0
        first = self._submit()
        for _ in range(20 * SLOTS):
            self._submit().add_done_callback(self._count)
        first.result(60)

    def _submit(self) -> "Future[float]":
        return self._view.submit(rest, CALL_SECONDS)

    def _count(self, _: "Future[float]") -> None:
        self.done += 1
        if not self._is_stopping:
            with contextlib.suppress(RuntimeError):  # Shut down at this moment.
                self._submit().add_done_callback(self._count)

    def stop(self) -> None:
        self._is_stopping = True

    def rate(self, seconds: float) -> float:
        """Calls per second from now on."""
        before, began = self.done, time.monotonic()
        time.sleep(seconds)
        return (self.done - before) / (time.monotonic() - began)


def wait_of_urgent(executor: distexec.Executor, calls: int) -> list[float]:
    """Milliseconds from submit to start of urgent calls, made one by one with pauses."""
    urgent, found = executor.options(priority=distexec.Priority.URGENT), []
    for number in range(calls):
        time.sleep(0.1 + 0.013 * (number % 7))  # At no fixed moment of the calls that run.
        submitted = time.monotonic()
        found.append(1000 * (urgent.submit(noted).result(60) - submitted))
    return found


def main() -> None:
    options = read_options(__doc__, rounds=3)
    programs, calls, urgent_calls = (3, 20, 5) if options.quick else (20, 500, 60)
    seconds = 0.3 if options.quick else 6.0
    report = Report("fairness", __doc__ or "", "", plot="slowest over fastest")
    with distexec.LocalCluster(SLOTS) as cluster:
        for _ in range(options.rounds):
            took = share(cluster.url, programs, calls)
            name = f"{programs} programs on {SLOTS} slots"
            report.extend(name, "fastest, s", min(took))
            report.extend(name, "slowest, s", max(took))
            report.extend(name, "slowest over fastest", max(took) / min(took))
        with (
            distexec.ProcessPoolExecutor(SLOTS, cluster=cluster) as low,
            distexec.ProcessPoolExecutor(SLOTS, cluster=cluster) as other,
        ):
            background = Flood(low, distexec.Priority.LOW)
            background.rate(seconds / 3)
            alone = max(background.rate(seconds), 1)
            waits = wait_of_urgent(other, urgent_calls)
            name = "urgent calls on busy slots"
            cuts = statistics.quantiles(waits, n=20)
            report.add(name, "p50 until start, ms", [statistics.median(waits)])
            report.add(name, "p95 until start, ms", [cuts[18]])
            flood = Flood(other, distexec.Priority.URGENT)
            background.rate(seconds / 3)
            left = background.rate(seconds) / alone
            report.add("low work under a flood of urgent", "share, %", [100 * left])
            flood.stop()
            background.stop()
    report.target(
        "slowest over fastest of equal programs below",
        report.median(f"{programs} programs on {SLOTS} slots", "slowest over fastest"),
        at_most=3,
    )
    report.target(
        "urgent calls start within one call of what runs, p95 in calls",
        report.median("urgent calls on busy slots", "p95 until start, ms") / (1000 * CALL_SECONDS),
        at_most=1,
    )
    report.target(
        "low work keeps its share, %",
        report.median("low work under a flood of urgent", "share, %"),
        at_least=5,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
