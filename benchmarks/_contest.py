"""Contenders in turns: each in a process of its own, all open at the same time.

A process of its own keeps one contender's threads and garbage out of another's times; turns spread
what else the machine does over all of them. The first turns are a warm-up and do not count.
"""

import functools
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from _contenders import CONTENDERS, Pool, is_installed
from _report import Options

#: Workers of every contender: twice the processors of the machine that the targets were set on.
WORKERS = 4

#: What a turn may take before the contender counts as hung.
TURN_SECONDS = 180.0

_END_SECONDS = 20.0

#: Called in a contender's process: its pool and what the turn is about; returns numbers.
Measure = Callable[..., Any]


class Contest:
    """Contenders that are open and wait for their turns."""

    def __init__(self, connections: dict[str, Connection]) -> None:
        self._connections = connections

    @property
    def names(self) -> list[str]:
        """Who takes part."""
        return list(self._connections)

    def turn(self, name: str, *args: Any) -> Any:
        """Let one contender measure with *args*, while all others rest."""
        connection = self._connections[name]
        connection.send((name, args))
        if not connection.poll(TURN_SECONDS):
            raise TimeoutError(f"{name} did not finish its turn within {TURN_SECONDS:g} seconds")
        succeeded, answer = connection.recv()
        if not succeeded:
            raise RuntimeError(f"{name} failed:\n{answer}")
        return answer

    def rounds(self, count: int, *args: Any) -> dict[str, list[Any]]:
        """What each contender measured in *count* rounds, after one that does not count."""
        found: dict[str, list[Any]] = {name: [] for name in self.names}
        for round_ in range(count + 1):
            for name in self.names:
                answer = self.turn(name, *args)
                if round_:
                    found[name].append(answer)
        return found

    def calibrate(self, name: str, seconds: float, most: int, *args: Any) -> int:
        """How many calls take about *seconds*; what it tries for this is a warm-up, too.

        The measure takes a count first, and returns seconds.
        """
        count = 64
        self.turn(name, count, *args)  # Starts workers, learns, fills caches.
        while True:
            took = self.turn(name, count, *args)
            if took > seconds / 4 or count >= most:
                return max(16, min(most, int(count * seconds / took)))
            count = min(most, 4 * count)


@contextmanager
def contest(
    measure: Measure, names: Sequence[str], options: Options, *, workers: int = WORKERS
) -> Iterator[Contest]:
    """Open all contenders that are installed and wanted, and close them with the block."""
    unknown = set(options.only).difference(names)
    if unknown:
        sys.exit(f"no contender {sorted(unknown)[0]!r} here: there are {', '.join(names)}")
    homes: dict[str, list[str]] = {}
    for name in names:
        if options.only and name not in options.only:
            continue
        if is_installed(name):
            homes.setdefault(CONTENDERS[name].home or name, []).append(name)
        else:
            print(f"{name}: skipped, it is not installed")
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        connections: dict[str, Connection] = {}
        for home, members in homes.items():
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, members, measure, workers))
            start_deaf(process)
            theirs.close()
            stack.push(functools.partial(_end, process, ours))
            problem = ours.recv() if ours.poll(TURN_SECONDS) else "it did not start in time"
            if problem is None:
                connections |= dict.fromkeys(members, ours)
            elif home == "distexec":
                raise RuntimeError(f"distexec failed: {problem}")
            else:
                print(f"{home}: skipped, {problem}")
        print("peers are ready", flush=True)
        yield Contest({name: connections[name] for name in names if name in connections})


def _serve(connection: Connection, names: Sequence[str], measure: Measure, workers: int) -> None:
    """The contenders' process: open, then measure whenever it is asked to."""
    signal.signal(signal.SIGTERM, _raise_exit)
    pools: dict[str, Pool] = {}
    with ExitStack() as stack:
        try:
            for name in names:
                pools[name] = stack.enter_context(CONTENDERS[name].open(workers))
        except Exception as error:
            connection.send(repr(error))
            return
        connection.send(None)
        while True:
            try:
                name, args = connection.recv()
            except (EOFError, OSError):
                return
            try:
                answer = True, measure(pools[name], *args)
            except Exception:
                answer = False, traceback.format_exc()
            try:
                connection.send(answer)
            except OSError:
                return


def start_deaf(process: Any) -> None:
    """Start a process that does not hear Ctrl-C, nor does what it starts: its parent ends it."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, heard)


def _raise_exit(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _end(process: Any, connection: Connection, *error: object) -> None:
    """Let a contender close its pool: after its turn, or at once if there was an error."""
    connection.close()
    if error[0] is None:
        process.join(_END_SECONDS)
    for end in (process.terminate, process.kill):
        if process.is_alive():
            end()
            process.join(_END_SECONDS)


def seconds_of(action: Callable[..., object], *args: Any) -> float:
    """How long it takes."""
    started = time.perf_counter()
    action(*args)
    return time.perf_counter() - started
