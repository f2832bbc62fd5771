"""What every format shows: the outcome after ``--select`` and ``--ignore``, and its counts."""

from collections import Counter
from dataclasses import dataclass, field

from distexec.migrate.options import Options
from distexec.migrate.records import FileReport, Finding, Severity, Verdict
from distexec.migrate.text import Source


@dataclass(slots=True)
class Summary:
    """The counts under a report, and the exit code that follows from them."""

    reports: list[FileReport]
    sources: dict[str, Source]
    options: Options
    scanned: int
    #: Files left out, by reason.
    skipped: dict[str, int] = field(default_factory=dict)
    written: bool = False

    @property
    def findings(self) -> list[Finding]:
        """The findings that are reported."""
        return [f for r in self.reports for f in r.findings if self.options.reports(f.code)]

    def shown(self, report: FileReport) -> list[Finding]:
        """The findings of one file that are reported."""
        return [finding for finding in report.findings if self.options.reports(finding.code)]

    @property
    def left(self) -> list[Finding]:
        """Findings that somebody should still look at."""
        settled = {
            (report.path, site.place.line)
            for report in self.reports
            for site in report.sites
            if site.verdict is Verdict.REWRITTEN
        }
        return [
            finding
            for report in self.reports
            for finding in self.shown(report)
            if finding.severity is not Severity.INFORMS
            and (report.path, finding.site_line) not in settled
        ]

    @property
    def errors(self) -> list[FileReport]:
        """Files that could not be read, parsed or written."""
        return [report for report in self.reports if report.error]

    @property
    def changed(self) -> list[FileReport]:
        """Files that change."""
        return [report for report in self.reports if report.changed]

    @property
    def exit_code(self) -> int:
        """0 nothing left to do, 1 changes or findings left, 3 a file failed."""
        if self.errors:
            return 3
        return int(bool(self.left) or (bool(self.changed) and not self.written))

    def counts(self) -> dict[str, int]:
        """Numbers for the last line."""
        verdicts = Counter(site.verdict for report in self.reports for site in report.sites)
        severities = Counter(finding.severity for finding in self.findings)
        return {
            "files": self.scanned,
            "changed": len(self.changed),
            "errors": len(self.errors),
            "skipped": sum(self.skipped.values()),
            "sites": verdicts.total(),
            **{verdict.value: verdicts[verdict] for verdict in Verdict},
            **{severity.value: severities[severity] for severity in Severity},
        }
