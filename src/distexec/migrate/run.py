"""A whole run over a tree: byte test, workers, then what concerns several files at once."""

import gc
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from distexec.migrate.examine import Advice, examine_file, matters
from distexec.migrate.files import Found, is_generated
from distexec.migrate.options import Options
from distexec.migrate.patches import follow_patches
from distexec.migrate.project import Project
from distexec.migrate.records import FileReport
from distexec.migrate.text import Source, Unreadable

#: Below this many files starting processes costs more than it saves.
_WORTH_PROCESSES = {"test": 2000, "examine": 24}
#: Parsed modules that one process keeps; each takes a few MB.
_MOST_MODULES = 150
_CHUNK = {"test": 250, "examine": 4}

T = TypeVar("T")

#: Called with the phase, files done, and files in all.
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Outcome:
    """What a run found in all files that matter."""

    reports: list[FileReport] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    #: Original bytes of the files that were read.
    raw: dict[str, bytes] = field(default_factory=dict)
    scanned: int = 0
    candidates: int = 0


@dataclass(slots=True)
class _Tested:
    """The byte test of one chunk of files."""

    candidates: list[str] = field(default_factory=list)
    generated: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    count: int = 0


class Run:
    """Examines files, in processes of its own where that pays."""

    def __init__(
        self,
        found: Found,
        options: Options,
        *,
        jobs: int | None = None,
        advice: Advice | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.found, self.options, self.advice = found, options, advice
        # Advice asks a person or shares a report: it stays in this process.
        self.jobs = 1 if advice is not None else jobs or os.cpu_count() or 1
        self.progress = progress or (lambda phase, done, total: None)

    def perform(self) -> Outcome:
        """Examine everything."""
        outcome = Outcome(scanned=len(self.found.paths))
        candidates: list[str] = []
        done = 0
        for tested in self._spread("test", _test_chunk, self.found.paths):
            candidates += tested.candidates
            outcome.reports += [FileReport(path=path, error=e) for path, e in tested.errors.items()]
            for _ in range(tested.generated):
                self.found.skip("generated")
            done += tested.count
            self.progress("test", done, len(self.found.paths))
        outcome.candidates = len(candidates)
        reports = {report.path: report for report in self._examine(candidates, {})}
        if not self.options.revert:
            self._across_modules(reports)
        outcome.reports += reports.values()
        for report in outcome.reports:
            if report.path in reports and report.error is None:
                self._load(report.path, outcome)
        if not self.options.revert:
            follow_patches(outcome.reports, outcome.sources, self.found.paths)
        outcome.reports = [
            r for r in outcome.reports if r.error or r.sites or r.findings or r.edits
        ]
        outcome.reports.sort(key=lambda report: report.path)
        return outcome

    def _load(self, path: str, outcome: Outcome) -> None:
        try:
            raw = Path(path).read_bytes()
            outcome.sources[path] = Source.decode(path, raw)
            outcome.raw[path] = raw
        except (OSError, Unreadable):
            pass

    def _examine(
        self, paths: Sequence[str], consumers: dict[str, list[str]]
    ) -> Iterator[FileReport]:
        done = 0
        for reports in self._spread("examine", _examine_chunk, paths, consumers):
            done += len(reports)
            self.progress("examine", done, len(paths))
            yield from reports

    def _across_modules(self, reports: dict[str, FileReport]) -> None:
        """Look again at pools that other modules can reach, knowing which modules mention them."""
        wanted = {name for report in reports.values() if report.sites for name in report.exported}
        if not wanted:
            return
        consumers: dict[str, list[str]] = {}
        words = re.compile(
            rb"\b(" + b"|".join(re.escape(name.encode()) for name in sorted(wanted)) + rb")\b"
        )
        for path in self.found.paths:
            try:
                raw = Path(path).read_bytes()
            except OSError:
                continue
            if b"import" in raw:
                for word in {match.decode() for match in words.findall(raw)}:
                    consumers.setdefault(word, []).append(path)
        again = [
            path
            for path, report in reports.items()
            if report.sites
            and any(set(consumers.get(name, ())) - {path} for name in report.exported)
        ]
        for report in self._examine(again, consumers):
            reports[report.path] = report

    def _spread(
        self, phase: str, work: Callable[..., T], paths: Sequence[str], *extra: object
    ) -> Iterator[T]:
        size = _CHUNK[phase]
        chunks = [list(paths[at : at + size]) for at in range(0, len(paths), size)]
        if self.jobs == 1 or len(paths) < _WORTH_PROCESSES[phase]:
            project = Project.of(self.found.paths) if phase == "examine" else Project()
            _Worker.project, _Worker.options, _Worker.advice = project, self.options, self.advice
            for chunk in chunks:
                yield work(chunk, *extra)
            return
        pool = ProcessPoolExecutor(
            self.jobs,
            initializer=_start,
            initargs=(self.found.paths if phase == "examine" else [], self.options),
        )
        try:
            for future in [pool.submit(work, chunk, *extra) for chunk in chunks]:
                yield future.result()
        finally:
            # After an interrupt nobody wants the rest.
            pool.shutdown(cancel_futures=True)


class _Worker:
    """What one process keeps between chunks."""

    project = Project()
    options = Options()
    advice: Advice | None = None


def _start(paths: Iterable[str], options: Options) -> None:
    # Ctrl-C ends the workers at once, without a word: the parent says it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _Worker.project, _Worker.options, _Worker.advice = Project.of(paths), options, None


def _test_chunk(paths: list[str]) -> _Tested:
    tested = _Tested(count=len(paths))
    for path in paths:
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except OSError as error:
            tested.errors[path] = f"cannot read: {error.strerror or error}"
            continue
        if matters(raw):
            if is_generated(raw):
                tested.generated += 1
            else:
                tested.candidates.append(path)
    return tested


def _examine_chunk(paths: list[str], consumers: dict[str, list[str]]) -> list[FileReport]:
    # Syntax trees are many small objects: the collector would look at them over and over.
    gc.disable()
    try:
        if _Worker.project.forget(_MOST_MODULES):
            gc.collect()
        return [_examine_path(path, consumers) for path in paths]
    finally:
        gc.enable()


def _examine_path(path: str, consumers: dict[str, list[str]]) -> FileReport:
    try:
        source = Source.decode(path, Path(path).read_bytes())
    except (OSError, Unreadable) as error:
        return FileReport(path=path, error=str(error))
    return examine_file(
        source, _Worker.project, _Worker.options, consumers=consumers, advice=_Worker.advice
    )
