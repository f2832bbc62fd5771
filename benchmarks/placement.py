"""How much sooner is everything done if the scheduler chooses among unequal nodes, and not a list?

Three nodes of one slot, each with a queue: one shares its processor with four busy processes, one
says that its memory is full, one is healthy. Calls compute for 20 ms. Beside the scheduler, the
same calls are dealt out to the three queues in turns, and by chance.

The fullness is what the node reads in its container's files, which stand in for real ones where a
mount of its own is allowed (root on Linux); elsewhere that node is a second healthy one.
"""

import contextlib
import itertools
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _contest import start_deaf
from _report import Report, read_options, run

import distexec

QUEUES = ("slow", "full", "healthy")
CALLS = 240
HOGS = 4


def compute(seconds: float = 0.02) -> str:
    """Use the processor for so long, however long that takes; tell on which node."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return os.environ["NODE"]


def hog() -> None:
    """Use one processor without end."""
    os.sched_setaffinity(0, {0})
    while True:
        pass


def may_mount() -> bool:
    """Whether a process here may have mounts of its own, over version 1 of control groups."""
    if not Path("/sys/fs/cgroup/memory").is_dir():
        return False
    tried = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    return tried.returncode == 0


@contextlib.contextmanager
def node(url: str, name: str, processor: int, folder: Path) -> Iterator[None]:
    """A node of one slot on one processor."""
    command = [sys.executable, "-m", "distexec", "worker", "--cluster", url]
    command += ["--queues", name, "--slots", "1", "--name", name]
    if name == "full" and may_mount():
        total = 1 << 30
        (folder / "memory.limit_in_bytes").write_text(str(total))
        (folder / "memory.usage_in_bytes").write_text(str(int(0.98 * total)))
        (folder / "memory.stat").write_text("total_inactive_file 0\n")
        mount = f'mount --bind {folder} /sys/fs/cgroup/memory && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mount, "sh", *command]
    process = subprocess.Popen(
        command,
        env={**os.environ, "NODE": name},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {processor}),
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def dealt(executor: distexec.Executor, queues: Iterator[str], calls: int) -> list[str]:
    """Where each call ran, sent to the queue that *queues* says."""
    views = {queue: executor.options(queue=queue) for queue in QUEUES}
    futures = [views[next(queues)].submit(compute) for _ in range(calls)]
    return [future.result(120) for future in futures]


def chosen(executor: distexec.Executor, calls: int) -> list[str]:
    """Where each call ran, sent where the scheduler says."""
    view = executor.options(queues=list(QUEUES))
    return [future.result(120) for future in [view.submit(compute) for _ in range(calls)]]


def main() -> None:
    options = read_options(__doc__, rounds=3)
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        sys.exit("needs two processors, and a system that binds processes to them")
    calls = 12 if options.quick else CALLS
    report = Report("placement", __doc__ or "", "s", plot="until all are done")
    chance = random.Random(1)
    spawn = multiprocessing.get_context("spawn")
    hogs = [spawn.Process(target=hog, daemon=True) for _ in range(HOGS)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(distexec.LocalCluster(1, queues=("nobody",)))
        for queue in QUEUES:
            stack.enter_context(node(cluster.url, queue, int(queue != "slow"), folder))
        pool = distexec.ProcessPoolExecutor(3, cluster=cluster.url)
        executor = stack.enter_context(pool)
        dealt(executor, itertools.cycle(QUEUES), 6)  # All are there.
        for each in hogs:
            start_deaf(each)
            stack.callback(each.kill)
        dealt(executor, itertools.cycle(QUEUES), 12)  # And known as they are.
        time.sleep(2)
        ways = {
            "the scheduler": lambda: chosen(executor, calls),
            "in turns": lambda: dealt(executor, itertools.cycle(QUEUES), calls),
            "by chance": lambda: dealt(executor, iter(lambda: chance.choice(QUEUES), ""), calls),
        }
        for _ in range(options.rounds):
            for name, send in ways.items():
                began = time.monotonic()
                ran = send()
                report.extend(name, "until all are done", time.monotonic() - began)
                for queue in QUEUES:
                    report.extend(name, f"on {queue}, %", 100 * ran.count(queue) / calls)
    for other in ("in turns", "by chance"):
        ratio = report.ratio("until all are done", other, "the scheduler")
        report.target(f"{other}, over the scheduler", ratio, at_least=1.3)
    report.finish(options)


if __name__ == "__main__":
    run(main)
