"""From findings to a verdict on each site; policy only, no files and no text."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from distexec.migrate.comments import Comments
from distexec.migrate.options import Options
from distexec.migrate.pools import Site
from distexec.migrate.records import Finding, Place, Severity, SiteReport, Verdict
from distexec.migrate.rules.base import Case


@dataclass(slots=True, eq=False)
class Opinion:
    """What is known about one site, and what follows from it."""

    site: Site
    case: Case
    findings: list[Finding]
    verdict: Verdict = Verdict.REWRITTEN
    because: tuple[str, ...] = ()
    note: str = ""
    #: Findings that a comment switched off.
    ignored: list[Finding] = field(default_factory=list)

    def report(self) -> SiteReport:
        """The verdict as a record."""
        module = self.site.module
        submissions = tuple(
            Place(path=s.module.path, line=s.line, column=s.module.column(s.call))
            for s in self.case.life.submissions
        )
        return SiteReport(
            place=Place(
                path=module.path, line=self.site.line, column=module.column(self.site.call)
            ),
            verdict=self.verdict,
            name=self.site.name,
            because=self.because,
            note=self.note,
            submissions=submissions,
        )


def lines_of(node: ast.stmt | ast.expr) -> tuple[int, int]:
    """First and last line of *node*; of a compound statement, its head only."""
    body = getattr(node, "body", None)
    if isinstance(node, ast.stmt) and isinstance(body, list) and body:
        return node.lineno, max(node.lineno, body[0].lineno - 1)
    return node.lineno, node.end_lineno or node.lineno


def decide(opinions: Sequence[Opinion], comments: Comments, options: Options) -> None:
    """Set the verdict of each site, in place."""
    for opinion in opinions:
        _decide_one(opinion, comments, options)
    # Sites that share a class expression change together or not at all.
    changed = True
    while changed:
        changed = False
        for opinion in opinions:
            if opinion.verdict is not Verdict.REWRITTEN:
                continue
            mine = set(opinion.site.references)
            for other in opinions:
                if other.verdict is not Verdict.REWRITTEN and mine & set(other.site.references):
                    opinion.verdict = other.verdict
                    opinion.because = other.because
                    opinion.note = f"shares its class with line {other.site.line}"
                    changed = True
                    break


def _decide_one(opinion: Opinion, comments: Comments, options: Options) -> None:
    module = opinion.site.module
    here = lines_of(module.names.statement(opinion.site.call))
    if comments.keeps(*here):
        opinion.verdict, opinion.note, opinion.findings = Verdict.KEPT, "# distexec: local", []
        return
    remaining: list[Finding] = []
    for finding in opinion.findings:
        lines = [here]
        if finding.place.path == module.path:
            lines.append((finding.place.line, finding.place.line))
        ignored = finding.severity is not Severity.INFORMS or finding.code != "DX001"
        if ignored and comments.ignores(finding.code, lines):
            opinion.ignored.append(finding)
        else:
            remaining.append(finding)
    opinion.findings = remaining
    active = [finding for finding in remaining if finding.code not in options.force]
    blocking = {f.code for f in active if f.severity is Severity.BLOCKS}
    warning = {f.code for f in active if f.severity is Severity.WARNS}
    if blocking:
        opinion.verdict, opinion.because = Verdict.KEPT, tuple(sorted(blocking))
    elif warning and not options.unsafe:
        opinion.verdict, opinion.because = Verdict.UNSAFE, tuple(sorted(warning))
