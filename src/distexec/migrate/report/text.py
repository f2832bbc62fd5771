"""The report for people: by file and site, with the line and a caret."""

import difflib
from collections.abc import Iterator
from itertools import pairwise

from distexec.migrate.records import FileReport, Finding, SiteReport, Verdict, apply_edits
from distexec.migrate.report.model import Summary
from distexec.migrate.text import Source


def diff(report: FileReport, source: Source) -> str:
    """A unified diff of what changes in one file."""
    if not report.edits:
        return ""
    new = Source(source.path, apply_edits(source.text, report.edits))
    old_lines, new_lines = _lines(source), _lines(new)
    out: list[str] = []
    for line in difflib.unified_diff(old_lines, new_lines, f"a/{report.path}", f"b/{report.path}"):
        if line.startswith(("---", "+++", "@@")) or line.endswith("\n"):
            out.append(line)
        else:
            out.append(f"{line}\n\\ No newline at end of file\n")
    return "".join(out)


def _lines(source: Source) -> list[str]:
    # By Python's line ends only: a form feed stays inside its line.
    bounds = [*source.starts, len(source.text)]
    lines = [source.text[a:b] for a, b in pairwise(bounds)]
    return [line[:-2] + "\r\n" if line.endswith("\r\n") else line for line in lines if line]


def render(summary: Summary) -> str:
    """The whole report without diffs."""
    blocks = [_file(report, summary) for report in summary.reports]
    return "\n".join(block for block in [*blocks, _last_lines(summary)] if block)


def _file(report: FileReport, summary: Summary) -> str:
    if report.error:
        return f"{report.path}\n  error: {report.error}\n"
    findings = summary.shown(report)
    lines: list[str] = []
    rest = list(findings)
    for site in report.sites:
        mine = [
            finding
            for finding in findings
            if finding.site_line == site.place.line and finding in rest
        ]
        rest = [finding for finding in rest if finding not in mine]
        lines += _site(site, mine, report, summary)
    for finding in rest:
        lines += _finding(finding, report, summary, indent="  ")
    return "\n".join([report.path, *lines, ""]) if lines else ""


def _site(
    site: SiteReport, findings: list[Finding], report: FileReport, summary: Summary
) -> Iterator[str]:
    note = f"  ({site.note})" if site.note else ""
    what = "rewritten" if site.verdict is Verdict.REWRITTEN else site.verdict.value
    yield f"  line {site.place.line}: {what}{note}"
    yield from _caret(site.place.path, site.place.line, site.place.column, summary, "    ")
    for finding in findings:
        yield from _finding(finding, report, summary, indent="    ")


def _finding(finding: Finding, report: FileReport, summary: Summary, indent: str) -> Iterator[str]:
    place = finding.place
    where = f"line {place.line}" if place.path == report.path else f"{place.path} line {place.line}"
    yield f"{indent}{finding.code} {finding.severity.value}, {where}: {finding.message}"
    if place.line != finding.site_line or place.path != report.path:
        yield from _caret(place.path, place.line, place.column, summary, indent + "  ")
    if finding.hint:
        yield f"{indent}  {finding.hint}"


def _caret(path: str, line: int, column: int, summary: Summary, indent: str) -> Iterator[str]:
    source = summary.sources.get(path)
    if source is None or line > len(source.starts):
        return
    text = source.line(line)
    shown = text.strip()
    lead = len(text) - len(text.lstrip())
    yield f"{indent}| {shown}"
    yield f"{indent}| {' ' * max(0, column - 1 - lead)}^"


def _last_lines(summary: Summary) -> str:
    counts = summary.counts()
    out = [
        f"{_many(counts['sites'], 'call site')}: {counts['rewritten']} rewritten, "
        f"{counts['unsafe']} unsafe, "
        f"{counts['kept']} kept",
        f"{counts['blocks']} block, {counts['warns']} warn, {counts['informs']} inform",
        f"{_many(counts['files'], 'file')} scanned, {counts['changed']} "
        + ("changed" if summary.written else "would change")
        + (f", {counts['errors']} with errors" if counts["errors"] else ""),
    ]
    if summary.skipped:
        reasons = ", ".join(
            f"{count} {reason}" for reason, count in sorted(summary.skipped.items())
        )
        out.append(f"left out: {reasons}")
    if counts["unsafe"] and not summary.options.unsafe:
        out.append("sites with warnings alone are rewritten with --unsafe")
    return "\n".join(out)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
