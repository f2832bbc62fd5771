"""What does a call cost that uses a 50 MB array, or that returns 1 MB?

The array is an argument like any other, or is sent before (`put`; `scatter` of dask). Each turn has
a new array, so that sending it counts; it has 500 calls, and a fiftieth of that for contenders that
send the array with each. The call looks at one number in it.

The server's peak is the most memory that it had in a turn, beyond the least that it had there.
"""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy
from _contenders import ExecutorPool
from _contest import DroppedOut, contests, seconds_of
from _report import Report, read_options, run
from _work import look, make

ARRAY_BYTES = 50 * 2**20
RESULT_BYTES = 2**20
CALLS = 500
CALLS_OF_COPIERS = 10
RESULTS = 1000

#: Seconds between two looks at the server's memory.
LOOK_SECONDS = 0.01

APART = "distexec over the server"
NAMES = ("distexec", APART, "ProcessPoolExecutor", "loky", "dask")

Measured = dict[str, float]


def measure(pool: ExecutorPool, what: str, size: int, calls: int) -> Measured:
    """Milliseconds for each call, and MB of the server's peak, if it is ours."""
    executor: Any = pool.executor
    executor.submit(look, [0.0], 0).result()
    with _watched(executor) if what == "argument" else nullcontext([]) as used:
        if what == "results":
            seconds = seconds_of(_take, executor, make, [(size // 8,)] * calls)
        else:
            array = numpy.random.default_rng().random(size // 8)
            seconds = seconds_of(_look, executor, array, what, calls)
    found = {what: 1000 * seconds / calls}
    if used:
        found["server's peak, MB"] = (max(used) - min(used)) / 2**20
    return found


def _look(executor: Any, array: Any, what: str, calls: int) -> None:
    if what == "put":
        send = executor.put if hasattr(executor, "put") else executor._client.scatter
        array = send(array)
    _take(executor, look, [(array, number) for number in range(calls)])


def _take(executor: Any, function: Any, arguments: list[tuple[Any, ...]]) -> None:
    """Submit all calls, and look at the results as they come."""
    futures = [executor.submit(function, *args) for args in arguments]
    futures.reverse()
    while futures:
        futures.pop().result()


@contextmanager
def _watched(executor: Any) -> Iterator[list[float]]:
    """The memory that an executor's server uses, looked at now and then; nothing without one.

    The server's own peak cannot be set back: it may be that of a turn before.
    """
    channel = getattr(executor, "_channel", None)
    used: list[float] = []
    if channel is None:
        yield used
        return
    has_ended = threading.Event()
    endpoint = channel.session.cluster.endpoint
    thread = threading.Thread(target=_look_at_memory, args=(endpoint, used, has_ended))
    thread.start()
    try:
        yield used
    finally:
        has_ended.set()
        thread.join()


def _look_at_memory(endpoint: Any, used: list[float], has_ended: threading.Event) -> None:
    from distexec.settings import Settings
    from distexec.store.link import Link

    link = Link(endpoint, Settings())
    try:
        while True:
            answer = bytes(link.call("INFO", "memory")).decode()
            used.append(float(answer.partition("used_memory:")[2].split()[0]))
            if has_ended.wait(LOOK_SECONDS):
                break
    finally:
        link.close()


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report("large_values", __doc__ or "", "ms for each call", plot="argument")
    scale = 50 if options.quick else 1
    for open_contest in contests(measure, NAMES, options):
        for _ in range(options.rounds + 1):
            for what, name in _turns(open_contest.names):
                is_copier = what == "argument" and not name.startswith("distexec")
                calls = RESULTS if what == "results" else CALLS_OF_COPIERS if is_copier else CALLS
                size = RESULT_BYTES if what == "results" else ARRAY_BYTES // scale
                with suppress(DroppedOut):
                    found = open_contest.turn(name, what, size, max(2, calls // scale))
                    for column, sample in found.items():
                        report.extend(name, column, sample)
    report.drop_first()
    peer = "ProcessPoolExecutor"
    against = functools.partial(report.median, peer)
    for what in ("argument", "put"):
        report.target(
            f"{what}: at least 20 times {peer}",
            against("argument") / report.median("distexec", what),
            at_least=20,
        )
    report.target(
        f"1 MB results: at least half of {peer}",
        report.ratio("results", peer, "distexec"),
        at_least=0.5,
    )
    report.target(
        "the server's peak, in arrays",
        report.median(APART, "server's peak, MB") / (ARRAY_BYTES / scale / 2**20),
        at_most=2,
    )
    report.finish(options)


def _turns(names: list[str]) -> list[tuple[str, str]]:
    """What is measured, contender by contender. Only some can send a value before."""
    can_put = [name for name in names if name.startswith("distexec") or name == "dask"]
    who = {"argument": names, "put": can_put, "results": names}
    return [(what, name) for what, members in who.items() for name in members]


if __name__ == "__main__":
    run(main)
