"""How long after the death of its worker does a call run again, in seconds?

From the signal to the first line of the second attempt, with the settings that everybody has. A
child is one process of a node; a node is killed or frozen whole, with its supervisor and children.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from _report import Report, read_options, run

from distexec import LocalCluster, ProcessPoolExecutor

QUEUE = "recovery"

#: A call that did not run again after this never will.
PATIENCE_SECONDS = 60.0


def work(ledger: str) -> None:
    """Note who starts and when, by a clock that all processes share; the second attempt is done."""
    with open(ledger, "a") as file:
        file.write(f"{os.getpid()} {time.monotonic()}\n")
    while len(read(ledger)) < 2:
        time.sleep(0.001)


def read(ledger: str) -> list[tuple[int, float]]:
    """Process and time of each start."""
    if not os.path.exists(ledger):
        return []
    lines = [line.split() for line in Path(ledger).read_text().splitlines(keepends=True)]
    return [(int(line[0]), float(line[1])) for line in lines if len(line) == 2]


def until(check: Callable[[], object]) -> None:
    """Wait for *check* to be true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.001)


def time_to_rerun(executor: ProcessPoolExecutor, strike: Callable[[int], object]) -> float:
    """Let a call run, *strike* its process, and wait for its second start."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = os.path.join(folder, "starts")
        future = executor.submit(work, ledger)
        until(lambda: future.running() and read(ledger))
        struck_at = time.monotonic()
        strike(read(ledger)[0][0])
        future.result(PATIENCE_SECONDS)
        return read(ledger)[1][1] - struck_at


def kill_child(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Nodes:
    """Two nodes: what one of them loses, the other one can run."""

    def __init__(self, url: str) -> None:
        self._url = url
        #: Where nodes have their temporary files: who is killed leaves them.
        self._folder = tempfile.TemporaryDirectory()
        self._nodes = [self._start(name) for name in ("one", "other")]

    def _start(self, name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "distexec", "worker", "--cluster", self._url),
                *("--queues", QUEUE, "--slots", "1", "--name", name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._folder.name},
        )

    def _whole(self, pid: int) -> tuple[int, list[psutil.Process]]:
        """The node that *pid* belongs to, and all of its processes."""
        for index, node in enumerate(self._nodes):
            processes = _processes(node)
            if pid in [process.pid for process in processes]:
                return index, processes
        raise RuntimeError(f"process {pid} is none of a node's")

    def kill(self, pid: int) -> None:
        """End the node of *pid* as a power cut does, and start it again under another name."""
        index, processes = self._whole(pid)
        _kill(processes)
        self._nodes[index].wait()
        self._nodes[index] = self._start(f"heir-{pid}")

    def freeze(self, pid: int) -> None:
        """Stop the node of *pid*, as a virtual machine is paused."""
        self._frozen = self._whole(pid)[1]
        for process in self._frozen:
            process.suspend()

    def thaw(self) -> None:
        """Let the frozen node go on."""
        for process in self._frozen:
            process.resume()

    def close(self) -> None:
        for node in self._nodes:
            _kill(_processes(node))
            node.wait()
        self._folder.cleanup()


def _processes(node: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """A node's supervisor, and all below it."""
    top = psutil.Process(node.pid)
    return [top, *top.children(recursive=True)]


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # It went with the one above it.
            process.kill()


def percentiles(samples: Sequence[float]) -> tuple[float, float]:
    """The median, and what 99 % stay below."""
    ordered = sorted(samples)
    return statistics.median(ordered), ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)]


def main() -> None:
    options = read_options(__doc__, rounds=10)
    report = Report("recovery", __doc__ or "", "seconds", plot="p99")
    found: dict[str, list[float]] = {}
    with LocalCluster(2) as cluster:
        with ProcessPoolExecutor(2, cluster=cluster) as executor:
            found["a child is killed"] = [
                time_to_rerun(executor, kill_child) for _ in range(5 * options.rounds)
            ]
        nodes = Nodes(cluster.url)
        try:
            with ProcessPoolExecutor(1, cluster=cluster, queue=QUEUE) as executor:
                executor.submit(os.getpid).result(PATIENCE_SECONDS)
                killed, frozen = [], []
                for _ in range(options.rounds):
                    killed.append(time_to_rerun(executor, nodes.kill))
                    frozen.append(time_to_rerun(executor, nodes.freeze))
                    nodes.thaw()
            found["a node is killed"], found["a node freezes"] = killed, frozen
        finally:
            nodes.close()
    for name, samples in found.items():
        p50, p99 = percentiles(samples)
        report.add(name, "p50", [p50])
        report.add(name, "p99", [p99])
        report.add(name, "worst", [max(samples)])
        limit = 0.5 if "child" in name else 5.0
        report.target(f"{name}: at most {limit} s in 99 % of cases", p99, at_most=limit)
    report.notes.append(
        f"{5 * options.rounds} children; {options.rounds} nodes killed, as many frozen."
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
