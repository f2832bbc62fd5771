"""What does distance cost: how many calls are done in a second if all messages arrive 2 ms late?

Caller and node both reach the server through a proxy of ours, which passes bytes on at once or 2 ms
late, in each direction. The proxy itself has a price, so the row to compare with is the one with 0.
"""

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from _contenders import CONTENDERS, Contender, ExecutorPool, Pool
from _contest import contest, seconds_of
from _report import Report, read_options, run
from _servers import private_server, python_module, running, wait_for_socket
from _work import noop

from distexec import DistributedExecutor
from distexec.wire import secret

DELAYS = {"no proxy": None, "0 ms": 0.0, "2 ms": 0.002}

TURN_SECONDS = 1.5
MOST_CALLS = 100_000
SINGLE_CALLS = 50


@contextmanager
def _open(workers: int, *, delay: float | None) -> Iterator[Pool]:
    with ExitStack() as stack:
        socket = stack.enter_context(private_server())
        if delay is not None:
            proxy = str(Path(__file__).with_name("_proxy.py"))
            near = socket.with_name("near.sock")
            program = [sys.executable, proxy, str(near), str(socket), str(delay)]
            wait_for_socket(near, stack.enter_context(running(program)))
            socket = near
        url = f"redis+socket://{socket}"
        os.environ["DISTEXEC_SECRET"] = secret.to_text(secret.generate())
        node = ["distexec", "worker", "--cluster", url, "--slots", str(workers)]
        stack.enter_context(python_module(*node, socket=socket))
        executor = stack.enter_context(DistributedExecutor(workers, cluster=url))
        yield ExecutorPool(executor)


for _name, _delay in DELAYS.items():
    CONTENDERS[_name] = Contender(functools.partial(_open, delay=_delay))


def measure(pool: Pool, calls: int, at_once: bool = True) -> float:
    """Seconds that the calls take, all at once or one after the other."""
    if at_once:
        return seconds_of(pool.each, noop, range(calls))
    return seconds_of(lambda: [pool.call(noop) for _ in range(calls)])


def main() -> None:
    options = read_options(__doc__)
    report = Report("distance", __doc__ or "", "", plot="calls/s")
    seconds = 0.05 if options.quick else TURN_SECONDS
    single = 5 if options.quick else SINGLE_CALLS
    with contest(measure, list(DELAYS), options) as open_contest:
        counts = {
            name: open_contest.calibrate(name, seconds, MOST_CALLS) for name in open_contest.names
        }
        for _ in range(options.rounds):
            for name, count in counts.items():
                report.extend(name, "calls/s", count / open_contest.turn(name, count))
                one = open_contest.turn(name, single, False) / single
                report.extend(name, "ms for a single call", 1000 * one)
    report.target(
        "calls/s with 2 ms at least half of those without",
        report.ratio("calls/s", "2 ms", "0 ms"),
        at_least=0.5,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
