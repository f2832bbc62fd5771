"""The command line: ``python -m distexec.migrate PATH...``."""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NoReturn

from distexec.migrate.decide import Opinion
from distexec.migrate.disk import Change, WriteFailed, write_all
from distexec.migrate.evidence import Evidence
from distexec.migrate.examine import Advice, examine_file
from distexec.migrate.explain import listing, page
from distexec.migrate.files import collect
from distexec.migrate.interactive import Interview
from distexec.migrate.options import Options, WrongUse, from_pyproject
from distexec.migrate.project import Project
from distexec.migrate.records import FileReport, apply_edits
from distexec.migrate.report import machine, text
from distexec.migrate.report.model import Summary
from distexec.migrate.rules import RULES
from distexec.migrate.run import Outcome, Run
from distexec.migrate.text import Source, Unreadable
from distexec.migrate.undo import remember

_EPILOG = """\
exit codes: 0 nothing to do, or all written; 1 changes or findings are left; 2 wrong use;
3 a file could not be parsed or written. Findings that only inform leave 0.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUse(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m distexec.migrate",
        description="Rewrite concurrent.futures code to distexec where that is safe; say why "
        "elsewhere it is not.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="files, folders, or - for stdin")
    add("--write", action="store_true", help="change the files; with -, print the new source")
    add("--check", action="store_true", help="for CI: no diff, only the report and the exit code")
    add("--interactive", action="store_true", help="ask about each site")
    add("--unsafe", action="store_true", help="also rewrite sites with warnings")
    add(
        "--force", action="append", default=[], metavar="CODE", help="rewrite in spite of this code"
    )
    add("--select", action="append", default=[], metavar="CODE", help="report only these codes")
    add("--ignore", action="append", default=[], metavar="CODE", help="do not report these codes")
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="skip paths, as .gitignore would",
    )
    add("--revert", action="store_true", help="turn distexec code back into concurrent.futures")
    add(
        "--evidence",
        metavar="REPORT",
        help="JSON report of distexec.check, to confirm or refute findings",
    )
    add("--format", choices=["text", "json", "sarif", "github"], default="text")
    add("--jobs", type=int, metavar="N", help="processes to use (default: one for each processor)")
    add("--no-progress", action="store_true", help="no progress bar")
    add("--list-rules", action="store_true", help="list all rules")
    add("--explain", metavar="CODE", help="show the page of a rule")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is returned."""
    try:
        return _main(_parser().parse_args(arguments))
    except WrongUse as error:
        print(f"python -m distexec.migrate: {error}", file=sys.stderr)
        return 2
    except SystemExit as error:
        # argparse ends this way after --help.
        return int(error.code or 0)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was left half written", file=sys.stderr)
        return 130
    except BrokenProcessPool:
        print("\na process ended in the middle of its work; try --jobs 1", file=sys.stderr)
        return 3
    except BrokenPipeError:
        return 1


def _main(given: argparse.Namespace) -> int:
    if given.list_rules:
        print(listing())
        return 0
    if given.explain:
        return _explain(given.explain)
    if not given.paths:
        raise WrongUse("no path given; try --help")
    if given.write and given.check:
        raise WrongUse("--write and --check exclude each other")
    if given.interactive and "-" in given.paths:
        raise WrongUse("--interactive needs stdin for the answers")
    if "-" in given.paths and len(given.paths) > 1:
        raise WrongUse("- stands alone")
    if given.jobs is not None and given.jobs < 1:
        raise WrongUse("--jobs must be at least 1")
    options = _options(given)
    advice = _advice(given)
    if given.paths == ["-"]:
        return _stdin(given, options, advice)
    return _paths(given, options, advice)


def _explain(code: str) -> int:
    try:
        print(page(code.upper()), end="")
    except KeyError:
        raise WrongUse(f"there is no rule {code!r}; see --list-rules") from None
    return 0


def _codes(values: list[str]) -> frozenset[str]:
    codes = {code.strip().upper() for value in values for code in value.split(",") if code.strip()}
    for code in codes:
        if not any(known.startswith(code) for known in RULES):
            raise WrongUse(f"there is no rule {code!r}; see --list-rules")
    return frozenset(codes)


def _options(given: argparse.Namespace) -> Options:
    base = Options(
        unsafe=given.unsafe,
        force=_codes(given.force),
        select=_codes(given.select),
        ignore=_codes(given.ignore),
        exclude=tuple(given.exclude),
        revert=given.revert,
    )
    start = Path.cwd() if given.paths == ["-"] else Path(given.paths[0])
    options, where = from_pyproject(start, base)
    if where is not None:
        for codes in (options.force, options.select, options.ignore):
            _codes(sorted(codes))
    return options


def _advice(given: argparse.Namespace) -> Advice | None:
    advisers: list[Advice] = []
    if given.evidence:
        advisers.append(Evidence.read(given.evidence))
    if given.interactive:
        advisers.append(Interview())
    if not advisers:
        return None

    def advise(opinions: list[Opinion]) -> None:
        for adviser in advisers:
            adviser(opinions)

    return advise


def _stdin(given: argparse.Namespace, options: Options, advice: Advice | None) -> int:
    raw = sys.stdin.buffer.read()
    outcome = Outcome(scanned=1)
    try:
        source = Source.decode("<stdin>", raw)
        report = examine_file(source, Project.of(["<stdin>"]), options, advice=advice)
        outcome.sources["<stdin>"] = source
    except Unreadable as error:
        source, report = None, FileReport(path="<stdin>", error=str(error))
    outcome.reports.append(report)
    summary = Summary(outcome.reports, outcome.sources, options, 1, written=given.write)
    if given.write:
        new = raw if source is None else source.encode(apply_edits(source.text, report.edits))
        if source is not None and report.edits and not options.revert:
            remember(raw, new)
        sys.stdout.buffer.write(new)
        sys.stdout.flush()
        print(text.render(summary), file=sys.stderr)
    else:
        _print(summary, given)
    return summary.exit_code


def _paths(given: argparse.Namespace, options: Options, advice: Advice | None) -> int:
    found = collect(given.paths, options.exclude)
    if found.missing:
        raise WrongUse(f"no such file or folder: {', '.join(found.missing)}")
    progress = _Bar(sys.stderr.isatty() and not given.no_progress and not given.interactive)
    outcome = Run(found, options, jobs=given.jobs, advice=advice, progress=progress).perform()
    progress.close()
    summary = Summary(outcome.reports, outcome.sources, options, outcome.scanned, found.skipped)
    if given.write:
        _write(outcome, summary)
    _print(summary, given)
    return summary.exit_code


def _write(outcome: Outcome, summary: Summary) -> None:
    """Write every changed file, or none; a failure becomes that file's error."""
    if summary.errors and any(report.edits for report in summary.errors):
        return
    changes = {
        report.path: Change(
            outcome.raw[report.path],
            outcome.sources[report.path].encode(
                apply_edits(outcome.sources[report.path].text, report.edits)
            ),
        )
        for report in summary.changed
    }
    try:
        write_all(changes)
        summary.written = True
        if not summary.options.revert:
            for change in changes.values():
                remember(change.old, change.new)
    except WriteFailed as failure:
        culprit = (
            next((r for r in outcome.reports if r.path == failure.path), None) or summary.changed[0]
        )
        culprit.error = f"cannot write, so nothing was written: {failure.reason}"


def _print(summary: Summary, given: argparse.Namespace) -> None:
    if given.format == "json":
        print(machine.as_json(summary))
    elif given.format == "sarif":
        print(machine.as_sarif(summary))
    elif given.format == "github":
        print(machine.as_github(summary))
    else:
        if not given.check and not given.write:
            for report in summary.reports:
                if report.path in summary.sources:
                    sys.stdout.write(text.diff(report, summary.sources[report.path]))
        print(text.render(summary))


class _Bar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, visible: bool) -> None:
        self.visible = visible
        self._last = 0.0
        self._is_drawn = False

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not self.visible or (done < total and now - self._last < 0.1):
            return
        self._last, self._is_drawn = now, True
        filled = 30 * done // max(1, total)
        sys.stderr.write(f"\r{phase:8} [{'=' * filled:30}] {done}/{total}")
        sys.stderr.flush()

    def close(self) -> None:
        """Wipe the bar away."""
        if self._is_drawn:
            sys.stderr.write("\r\033[K")
