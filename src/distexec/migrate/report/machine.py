"""The report for programs: JSON, SARIF 2.1.0, and annotations for GitHub."""

import json
from typing import Any

from distexec.migrate.records import Finding, Severity
from distexec.migrate.report.model import Summary
from distexec.migrate.rules import RULES

_SARIF_LEVEL = {Severity.BLOCKS: "error", Severity.WARNS: "warning", Severity.INFORMS: "note"}
_GITHUB_LEVEL = {Severity.BLOCKS: "error", Severity.WARNS: "warning", Severity.INFORMS: "notice"}


def as_json(summary: Summary) -> str:
    """One object with files, sites, findings and the summary."""
    document = {
        "files": [
            {"path": report.path, "changed": report.changed, "error": report.error}
            for report in summary.reports
        ],
        "sites": [
            {
                "path": site.place.path,
                "line": site.place.line,
                "column": site.place.column,
                "verdict": site.verdict.value,
                "name": site.name,
                "because": list(site.because),
                "note": site.note,
            }
            for report in summary.reports
            for site in report.sites
        ],
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "path": finding.place.path,
                "line": finding.place.line,
                "column": finding.place.column,
                "message": finding.message,
                "site_line": finding.site_line,
                "hint": finding.hint,
            }
            for finding in summary.findings
        ],
        "summary": {**summary.counts(), "left_out": summary.skipped},
    }
    return json.dumps(document, indent=2)


def as_sarif(summary: Summary) -> str:
    """SARIF 2.1.0, as code scanning services read it."""
    findings = summary.findings
    used = sorted({finding.code for finding in findings})
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "distexec.migrate",
                        "rules": [
                            {
                                "id": code,
                                "name": RULES[code].name,
                                "shortDescription": {"text": RULES[code].summary},
                                "help": {"text": RULES[code].hint},
                            }
                            for code in used
                        ],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": not summary.errors,
                        "toolExecutionNotifications": [
                            {
                                "level": "error",
                                "message": {"text": f"{report.path}: {report.error}"},
                            }
                            for report in summary.errors
                        ],
                    }
                ],
                "results": [_sarif_result(finding, used) for finding in findings],
            }
        ],
    }
    return json.dumps(document, indent=2)


def _sarif_result(finding: Finding, used: list[str]) -> dict[str, Any]:
    return {
        "ruleId": finding.code,
        "ruleIndex": used.index(finding.code),
        "level": _SARIF_LEVEL[finding.severity],
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": finding.place.path.replace("\\", "/")},
                    "region": {
                        "startLine": finding.place.line,
                        "startColumn": finding.place.column,
                    },
                }
            }
        ],
    }


def as_github(summary: Summary) -> str:
    """Workflow commands that GitHub shows beside the lines."""
    lines = [
        f"::{_GITHUB_LEVEL[f.severity]} file={_property(f.place.path)},line={f.place.line},"
        f"col={f.place.column},title={f.code}::{_data(f'{f.message}. {f.hint}')}"
        for f in summary.findings
    ]
    lines += [
        f"::error file={_property(report.path)},title=distexec.migrate::{_data(report.error or '')}"
        for report in summary.errors
    ]
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
