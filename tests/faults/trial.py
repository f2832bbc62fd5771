"""A trial: calls under a fault, and the verdict on what became of them."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from conftest import eventually

from . import ledger
from .ledger import Execution, Ledger

#: Seconds beyond all that is computed before a trial counts as hung.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a row of the matrix did, and what came of it."""

    row: str
    calls: int
    #: How often the fault met a call that was running.
    hits: int
    starts: int
    #: Starts beyond one for each call.
    extra: int
    #: Of those, starts of calls that had already ended.
    repeated: int
    #: Calls without a value, or without an end in the ledger.
    lost: int
    #: Calls with another value than their own.
    wrong: int
    seconds: float

    @property
    def figures(self) -> dict[str, object]:
        """The columns of the table."""
        return {**asdict(self), "seconds": round(self.seconds, 1)}


class Trial:
    """Submits calls that keep the ledger, meets them with faults, and judges.

    Args:
        row: The row of the matrix.
        report: Takes the figures for the table that ends the run.
    """

    def __init__(self, row: str, folder: Path, report: Callable[[Verdict], None]) -> None:
        self.row, self._report = row, report
        self.ledger = Ledger(folder / f"ledger-{row}")
        self.futures: dict[int, Future[int]] = {}
        self.hits = 0
        self._outcomes: list[int] = []
        self._began = time.monotonic()

    def submit(self, executor: Executor, count: int, seconds: float = 0.0) -> None:
        """Submit *count* more calls that last *seconds* each."""
        for number in range(len(self.futures), len(self.futures) + count):
            future = executor.submit(ledger.work, self.ledger.path, number, seconds)
            future.add_done_callback(lambda _, number=number: self._outcomes.append(number))
            self.futures[number] = future

    def submit_other(
        self, executor: Executor, function: Callable[..., Any], *arguments: object
    ) -> int:
        """Submit a call that does something else, with ledger and number; return the number."""
        number = len(self.futures)
        future = executor.submit(function, self.ledger.path, number, *arguments)
        future.add_done_callback(lambda _: self._outcomes.append(number))
        self.futures[number] = future
        return number

    def take(self, results: Iterable[int]) -> None:
        """Judge the results of calls that another process submitted."""
        for number, result in enumerate(results):
            self.futures[number] = future = Future()
            future.set_result(result)
            self._outcomes.append(number)

    def running(self, least: int = 1, *, timeout: float = 30.0) -> list[Execution]:
        """Wait until at least *least* calls run in living processes, and return all that do."""

        def enough() -> list[Execution]:
            found = [run for run in self.ledger.read().running if psutil.pid_exists(run.pid)]
            assert len(found) >= least, f"{len(found)} of {least} calls run"
            return found

        return eventually(enough, timeout)

    def strike(self, fault: Callable[[], object], *, least: int = 1) -> list[Execution]:
        """Let *fault* happen while at least *least* calls run; return them."""
        struck = self.running(least)
        fault()
        self.hits += 1
        return struck

    def ended(self, count: int, *, timeout: float = 60.0) -> None:
        """Wait until *count* calls have ended."""
        eventually(lambda: len(self.ledger.read().ends) >= count, timeout)

    def verdict(
        self, *, within: float, poison: Iterable[int] = (), is_last: bool = True
    ) -> Verdict:
        """Wait for every future, and compare them with the ledger.

        Args:
            within: Seconds that work and outages take; `PATIENCE_SECONDS` more is a hang.
            poison: Calls that are to fail.
            is_last: Whether the trial ends with this, and goes into the table.
        """
        _, hung = wait(self.futures.values(), timeout=within + PATIENCE_SECONDS)
        return self._judge(hung, poison, is_last=is_last)

    def abandoned(self) -> Verdict:
        """What became of calls that nobody waits for."""
        return self._judge(set(), (), is_last=True)

    def _judge(self, hung: set[Future[int]], poison: Iterable[int], *, is_last: bool) -> Verdict:
        settled = {number: future for number, future in self.futures.items() if future.done()}
        innocent = self.futures.keys() - set(poison)
        read = self.ledger.read()
        failed = [number for number in innocent & settled.keys() if settled[number].exception()]
        valued = (innocent & settled.keys()) - set(failed)
        lost = [number for number in innocent if number not in valued or not read.ends[number]]
        wrong = [n for n in valued if settled[n].result() != ledger.expected(n)]
        verdict = Verdict(
            row=self.row,
            calls=len(self.futures),
            hits=self.hits,
            starts=read.starts.total(),
            extra=sum(read.starts[n] - 1 for n in read.starts if n in innocent),
            repeated=sum(read.repeated[n] for n in innocent),
            lost=len(lost),
            wrong=len(wrong),
            seconds=time.monotonic() - self._began,
        )
        if is_last or hung or lost or wrong:
            self._report(verdict)
        errors = {repr(settled[number].exception()) for number in failed}
        assert not hung, f"{len(hung)} calls hang: {verdict}"
        assert not lost, f"calls {lost[:10]} are lost ({errors}): {verdict}"
        assert not wrong, f"calls {wrong[:10]} have a wrong value: {verdict}"
        eventually(lambda: len(self._outcomes) >= len(self.futures))
        assert len(self._outcomes) == len(self.futures), "a future was settled twice"
        return verdict
