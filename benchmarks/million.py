"""Does memory stay flat over 150,000 calls, or a million, whose results are consumed as they come?

The memory of the caller's process after so many calls, and the most that the server used so far.
`map` has `buffersize=1000`; `submit` keeps the last 10,000 futures and takes the oldest one's
result before each further call.
"""

from collections import deque

import psutil
from _contenders import ExecutorPool, local_cluster
from _contest import WORKERS, contest
from _report import Report, read_options, run
from _work import noop

FULL_CALLS = 1_000_000
#: Enough to see memory grow, and done in a tenth of the time; `--full` has the million.
CALLS = 150_000
#: The million by `submit` takes half a minute on a quiet machine.
TURN_SECONDS = 300.0
BUFFER = 1000
KEPT = 10_000
#: When to look: after so many hundredths.
LOOKS = (10, 20, 50, 100)


def measure(pool: ExecutorPool, way: str, calls: int) -> list[tuple[float, float]]:
    """Megabytes of this process and of the server at each look."""
    looks = {calls * percent // 100 for percent in LOOKS}
    found = []
    results = _mapped(pool, calls) if way == "map" else _submitted(pool, calls)
    for number, _ in enumerate(results, 1):
        if number in looks:
            found.append((psutil.Process().memory_info().rss / 1e6, _server_peak()))
    return found


def _mapped(pool: ExecutorPool, calls: int):
    # The standard library has this argument since Python 3.14.
    return pool.executor.map(noop, range(calls), buffersize=BUFFER)  # type: ignore[call-arg]


def _submitted(pool: ExecutorPool, calls: int):
    kept = deque()
    for number in range(calls):
        kept.append(pool.executor.submit(noop, number))
        if len(kept) > KEPT:
            yield kept.popleft().result()
    while kept:
        yield kept.popleft().result()


def _server_peak() -> float:
    from redis import Redis

    endpoint = local_cluster(WORKERS).endpoint
    with Redis(unix_socket_path=endpoint.path, password=endpoint.password) as server:
        return server.info("memory")["used_memory_peak"] / 1e6


def main() -> None:
    options = read_options(__doc__, rounds=1)
    calls = 1000 if options.quick else FULL_CALLS if options.full else CALLS
    report = Report("million", __doc__ or "", "MB", plot="calls", is_curve=True)
    for way in ("map", "submit"):
        names = ("distexec",)
        with contest(measure, names, options, turn_seconds=TURN_SECONDS) as open_contest:
            found = open_contest.turn("distexec", way, calls)
        for percent, (caller, server) in zip(LOOKS, found, strict=True):
            report.add(f"{way}: caller", f"{calls * percent // 100:,}", [caller])
            report.add(f"{way}: server", f"{calls * percent // 100:,}", [server])
        report.target(
            f"{way}: the caller after all calls at most 1.15 times that after a tenth",
            found[-1][0] / found[0][0],
            at_most=1.15,
        )
    report.finish(options)


if __name__ == "__main__":
    run(main)
