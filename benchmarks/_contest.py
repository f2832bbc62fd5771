"""Contenders in turns: each in a process of its own, all of a group open at the same time.

A process of its own keeps one contender's threads and garbage out of another's times; turns spread
what else the machine does over all of them. The first turns are a warm-up and do not count.
A group of their own keeps those that are never idle from slowing down all others.
"""

import functools
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from _contenders import CONTENDERS, Pool, is_installed
from _report import Options, beside, exit_when_terminated

#: Workers of every contender: twice the processors of the machine that the targets were set on.
WORKERS = 4

#: What a turn may take before the contender counts as hung: most take one or two.
TURN_SECONDS = 60.0

#: What a contender may take to open, and to close: more than the slowest needs on a busy machine.
_START_SECONDS = 60.0
_END_SECONDS = 10.0

#: Called in a contender's process: its pool and what the turn is about; returns numbers.
Measure = Callable[..., Any]


class DroppedOut(Exception):
    """A contender failed or took too long: it is closed, and has no further turns."""


class Seat(NamedTuple):
    """Where a contender waits for its turns: a process, which leads a group of processes."""

    process: Any
    connection: Connection
    #: What the process knows it by.
    name: str


class Contest:
    """Contenders that are open and wait for their turns.

    Args:
        missing: Gets the reason why a contender drops out.
        turn_seconds: What a turn may take.
    """

    def __init__(
        self, seats: dict[str, Seat], missing: dict[str, str], turn_seconds: float
    ) -> None:
        self._seats, self._missing, self.turn_seconds = seats, missing, turn_seconds

    @property
    def names(self) -> list[str]:
        """Who takes part, and has not dropped out."""
        return list(self._seats)

    def turn(self, name: str, *args: Any) -> Any:
        """Let one contender measure with *args*, while all others rest.

        Raises:
            DroppedOut: It has no answer, now or since an earlier turn; the others go on.
            RuntimeError: The same of distexec: without it there is no question.
        """
        seat = self._seats.get(name)
        if seat is None:
            raise DroppedOut(name)
        reason = f"did not finish within {self.turn_seconds:g} seconds"
        try:
            seat.connection.send((seat.name, args))
            if seat.connection.poll(self.turn_seconds):
                succeeded, answer = seat.connection.recv()
                if succeeded:
                    return answer
                reason = f"failed:\n{answer}"
        except (OSError, EOFError):
            reason = "died"
        if name.startswith("distexec"):
            raise RuntimeError(f"{name} {reason}")
        print(f"{name}: {reason}", flush=True)
        ended = [other for other, its in self._seats.items() if its.process is seat.process]
        for other in ended:
            del self._seats[other]
            self._missing[other] = reason.partition("\n")[0].rstrip(":")
        end_group(seat.process)
        raise DroppedOut(name)

    def rounds(self, count: int, *args: Any) -> dict[str, list[Any]]:
        """What each contender measured in *count* rounds, after one that does not count."""
        found: dict[str, list[Any]] = {name: [] for name in self.names}
        for round_ in range(count + 1):
            for name in self.names:
                with suppress(DroppedOut):
                    answer = self.turn(name, *args)
                    if round_:
                        found[name].append(answer)
        return {name: found[name] for name in self.names}

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
    measure: Measure,
    names: Sequence[str],
    options: Options,
    *,
    workers: int = WORKERS,
    turn_seconds: float = TURN_SECONDS,
) -> Iterator[Contest]:
    """Open all contenders that are installed and wanted, and close them with the block."""
    with _open(measure, _choose(names, options), options, workers) as seats:
        yield Contest(seats, options.missing, turn_seconds)


def contests(measure: Measure, names: Sequence[str], options: Options) -> Iterator[Contest]:
    """Open the quiet contenders, and after them the restless ones, with distexec once more.

    A group is closed before the next one opens, and when the loop over them is left.
    """
    chosen = _choose(names, options)
    restless = [name for name in chosen if CONTENDERS[name].is_restless]
    quiet = [name for name in chosen if name not in restless]
    if quiet:
        with _open(measure, quiet, options, WORKERS) as seats:
            yield Contest(seats, options.missing, TURN_SECONDS)
    if restless:
        again = [name for name in quiet if name == "distexec"]
        with _open(measure, again + restless, options, WORKERS) as seats:
            peers = {name: seats[name] for name in restless if name in seats}
            ours = {beside(name, peers): seats[name] for name in again}
            if peers:
                yield Contest(ours | peers, options.missing, TURN_SECONDS)


def _choose(names: Sequence[str], options: Options) -> list[str]:
    """Who is installed and wanted; says who is not installed."""
    unknown = set(options.only).difference(names)
    if unknown:
        sys.exit(f"no contender {sorted(unknown)[0]!r} here: there are {', '.join(names)}")
    wanted = [name for name in names if not options.only or name in options.only]
    chosen = [name for name in wanted if is_installed(name)]
    for name in wanted:
        if name not in chosen:
            print(f"{name}: skipped, it is not installed")
            options.missing[name] = "is not installed"
    return chosen


@contextmanager
def _open(
    measure: Measure, names: Sequence[str], options: Options, workers: int
) -> Iterator[dict[str, Seat]]:
    """Open contenders side by side, and close them with the block; those that start have seats."""
    homes: dict[str, list[str]] = {}
    for name in names:
        homes.setdefault(CONTENDERS[name].home or name, []).append(name)
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        opening: dict[str, Seat] = {}
        for home, members in homes.items():
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, members, measure, workers))
            start_deaf(process)
            theirs.close()
            opening[home] = Seat(process, ours, home)
            stack.push(functools.partial(_end, opening[home]))
        seats: dict[str, Seat] = {}
        for home, seat in opening.items():
            members = homes[home]
            problem = "it did not start in time"
            if seat.connection.poll(_START_SECONDS):
                problem = seat.connection.recv()
            if problem is None:
                seats |= {name: seat._replace(name=name) for name in members}
            elif home == "distexec":
                raise RuntimeError(f"distexec failed: {problem}")
            else:
                print(f"{home}: skipped, {problem}")
                options.missing.update(dict.fromkeys(members, "did not start"))
        # All begin to close now, and are waited for one after the other.
        stack.callback(lambda: [seat.connection.close() for seat in opening.values()])
        print("peers are ready", flush=True)
        yield {name: seats[name] for name in names if name in seats}


def _serve(connection: Connection, names: Sequence[str], measure: Measure, workers: int) -> None:
    """The contenders' process: open, then measure whenever it is asked to."""
    os.setsid()  # What it starts and forgets can be found, and ended.
    exit_when_terminated()
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


def _end(seat: Seat, *error: object) -> None:
    """Let a contender close its pool: after its turn, or at once if there was an error."""
    seat.connection.close()
    if error[0] is None:
        seat.process.join(_END_SECONDS)
    end_group(seat.process)


def end_group(process: Any) -> None:
    """End a contender with all that it started, also what it left behind."""
    if process.is_alive():
        process.terminate()
        process.join(_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def seconds_of(action: Callable[..., object], *args: Any) -> float:
    """How long it takes."""
    started = time.perf_counter()
    action(*args)
    return time.perf_counter() - started
