"""How much does one server carry: how many calls can it pass on before it is the bottleneck?

The server works on one processor. Its processor time for each call, read from the server itself,
says how many calls fill it; the callers and workers of one small machine could never ask for as
many. Idle leases and nodes have a price as well.
"""

import os
import time
from typing import Any

from _contenders import ExecutorPool, local_cluster
from _contest import WORKERS, contest, seconds_of
from _report import Report, read_options, run
from _work import noop, rest, size

MEGABYTE = 10**6

#: What is called, with which argument, and how many times in a turn.
KINDS: dict[str, tuple[Any, Any, int]] = {
    "calls that do nothing, all at once": (noop, 0, 50_000),
    "calls of 10 ms": (rest, 0.01, 400),
    "arguments of 10 KB": (size, 10_000, 2000),
    "arguments of 1 MB": (size, MEGABYTE, 60),
}
SINGLE_CALLS = 1000
IDLE_SECONDS = 1.5


def measure(pool: ExecutorPool, kind: str, quick: bool) -> dict[str, float]:
    """What the server did for each call: processor time, commands, and bytes in both directions."""
    if kind == "idle":
        pool.call(noop)
        seconds = 0.2 if quick else IDLE_SECONDS
        return _cost_of(lambda: time.sleep(seconds), seconds * pool_leases(pool))
    if kind == "calls one after the other":
        calls = 10 if quick else SINGLE_CALLS
        return _cost_of(lambda: [pool.call(noop) for _ in range(calls)], calls)
    function, argument, calls = KINDS[kind]
    calls = 10 if quick else calls
    if function is size:
        # Each is another one: equal large arguments might travel once.
        common = os.urandom(argument - 8)
        inputs = [number.to_bytes(8, "big") + common for number in range(calls)]
    else:
        inputs = [argument] * calls
    return _cost_of(lambda: pool.each(function, inputs), calls)


def pool_leases(pool: ExecutorPool) -> int:
    """How many leases the executor has."""
    return max(1, pool.executor.statistics().leases)  # type: ignore[attr-defined]


def _cost_of(action: Any, calls: float) -> dict[str, float]:
    from redis import Redis

    endpoint = local_cluster(WORKERS).endpoint
    with Redis(unix_socket_path=endpoint.path, password=endpoint.password) as server:
        before = server.info("everything")
        seconds = seconds_of(action)
        after = server.info("everything")

    def grown(*names: str) -> float:
        return sum(after[name] - before[name] for name in names)

    used = grown("used_cpu_user", "used_cpu_sys")
    return {
        "server µs": 1e6 * used / calls,
        "commands": grown("total_commands_processed") / calls,
        "bytes": grown("total_net_input_bytes", "total_net_output_bytes") / calls,
        "calls/s here": calls / seconds,
        "calls/s that fill it": calls / max(used, 1e-6),
    }


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report("server", __doc__ or "", "for each call", plot="calls/s that fill it")
    with contest(measure, ("distexec",), options) as open_contest:
        for kind in (*KINDS, "calls one after the other", "idle"):
            for round_ in range(options.rounds + 1):
                cost = open_contest.turn("distexec", kind, options.quick)
                row = (
                    "a second of an idle lease, with its share of a node"
                    if kind == "idle"
                    else kind
                )
                for column, value in cost.items() if round_ else ():
                    report.extend(row, column, value)
    report.finish(options)


if __name__ == "__main__":
    run(main)
