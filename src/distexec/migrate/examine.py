"""One file from bytes to report: survey, follow, rules, verdicts, edits."""

import ast
import re
from collections.abc import Callable

from distexec.migrate.catalog import NEEDLES
from distexec.migrate.comments import Comments
from distexec.migrate.decide import Opinion, decide
from distexec.migrate.effects.chains import Effects
from distexec.migrate.follow import Follower
from distexec.migrate.options import Options
from distexec.migrate.pool_methods import UNREAD, translate
from distexec.migrate.pool_results import NoCounterpart
from distexec.migrate.pools import Reference, Site, survey
from distexec.migrate.project import Module, Project
from distexec.migrate.records import (
    Edit,
    FileReport,
    Finding,
    Place,
    Severity,
    SiteReport,
    Verdict,
    apply_edits,
)
from distexec.migrate.revert import revert
from distexec.migrate.rewrite import Rewriter
from distexec.migrate.rules import RULES, UNKNOWN_CODE, UNUSED_COMMENT, examine
from distexec.migrate.rules.base import Case
from distexec.migrate.rules.handling import NO_COUNTERPART, TERMINATED, TYPETEST, class_findings
from distexec.migrate.syntax import parse
from distexec.migrate.text import Source, Unreadable
from distexec.migrate.undo import recall
from distexec.migrate.values import Values

_NEEDLES = re.compile(NEEDLES)

#: Changes findings and verdicts from outside: evidence, or answers of a person.
Advice = Callable[[list[Opinion]], None]


def matters(raw: bytes) -> bool:
    """Whether a file can have anything for us: the byte test."""
    return _NEEDLES.search(raw) is not None


def examine_file(
    source: Source,
    project: Project,
    options: Options,
    *,
    consumers: dict[str, list[str]] | None = None,
    advice: Advice | None = None,
) -> FileReport:
    """Everything about one file; problems with it become the report's error."""
    report = FileReport(path=source.path)
    try:
        module = project.add(source)
        if options.revert:
            report.edits = _original(source) or revert(module)
        else:
            _examine(report, module, project, options, consumers, advice)
        if report.edits:
            parse(Source(source.path, apply_edits(source.text, report.edits)))
    except Unreadable as error:
        report.error = str(error)
        report.edits, report.sites, report.findings = [], [], []
    except (RecursionError, ValueError) as error:
        # Better one file left alone and named than a tree half done.
        report.error = f"left alone: {type(error).__name__}: {error}"
        report.edits, report.sites, report.findings = [], [], []
    return report


def _original(source: Source) -> list[Edit]:
    """One edit back to what the file was, if it still is as we wrote it."""
    before = recall(source.encode(source.text))
    if before is None:
        return []
    return [Edit(0, len(source.text), Source.decode(source.path, before).text)]


def _examine(
    report: FileReport,
    module: Module,
    project: Project,
    options: Options,
    consumers: dict[str, list[str]] | None,
    advice: Advice | None,
) -> None:
    found = survey(module, project)
    comments = Comments.of(module.source)
    values = Values(project)
    effects = Effects(project, values)
    follower = Follower(project, consumers)
    opinions: list[Opinion] = []
    translations: dict[Site, list[Edit]] = {}
    exported: set[str] = set()
    for site in found.sites:
        case = Case(site, follower.life_of(site), project, values, effects)
        findings = list(examine(case))
        if site.family == "pool":
            findings += _translate(case, translations)
        for reference in found.references:
            same = any(reference.target == mine.target for mine in site.references)
            if reference.role == "typetest" and same:
                findings.append(
                    case.finding(
                        TYPETEST,
                        reference.node,
                        module,
                        f"line {reference.node.lineno} tests for the class of the pool of line "
                        f"{site.line}",
                    )
                )
        exported |= case.life.exported
        opinions.append(Opinion(site, case, findings))
    if advice is not None:
        advice(opinions)
    decide(opinions, comments, options)
    rewritten = [opinion.site for opinion in opinions if opinion.verdict is Verdict.REWRITTEN]
    rewriter = Rewriter(found, project, rewritten)
    stuck = rewriter.stuck()
    if stuck:
        for opinion in opinions:
            if stuck & set(opinion.site.references):
                opinion.verdict, opinion.note = Verdict.KEPT, "its import cannot be changed"
                rewritten.remove(opinion.site)
        rewriter = Rewriter(found, project, rewritten)
    plan = rewriter.plan()
    report.edits = plan.edits + [edit for site in rewritten for edit in translations.get(site, ())]
    report.moves = plan.moves
    report.sites = [opinion.report() for opinion in opinions]
    report.exported = tuple(sorted(exported))
    report.findings = [finding for opinion in opinions for finding in opinion.findings]
    others = [r for r in found.references if r.role != "typetest"]
    for finding in class_findings(others, module):
        line = finding.place.line
        if not comments.ignores(finding.code, [(line, line)]) and not comments.keeps(line, line):
            report.findings.append(finding)
            if finding.code == "DX402":
                report.sites.append(_kept_class(finding, module, others))
    report.findings += _default_executor(module)
    report.findings += _comment_findings(comments, module)
    unique = {
        (f.code, f.place.path, f.place.line, f.site_line): f for f in reversed(report.findings)
    }
    report.findings = list(unique.values())
    report.findings.sort(key=lambda finding: finding.order)
    report.sites.sort(key=lambda site: (site.place.line, site.place.column))


def _kept_class(finding: Finding, module: Module, references: list[Reference]) -> SiteReport:
    node = next(
        r.node for r in references if r.role == "base" and r.node.lineno == finding.place.line
    )
    return SiteReport(
        place=finding.place, verdict=Verdict.KEPT, name=module.text(node), because=(finding.code,)
    )


def _translate(case: Case, translations: dict[Site, list[Edit]]) -> list[Finding]:
    """Find the counterparts of a multiprocessing pool's methods, or say which is missing."""
    site = case.site
    try:
        translations[site] = translate(site, case.life)
    except NoCounterpart as error:
        return [
            case.finding(
                NO_COUNTERPART,
                error.node,
                error.module,
                f"{error.what} of the pool of line {site.line} has no exact counterpart in an "
                "executor",
            )
        ]
    ends = [use for use in case.life.uses if use.detail == "terminate"]
    in_with = isinstance(site.module.names.parent.get(site.call), ast.withitem)
    lazy = [s for s in case.life.submissions if s.method in UNREAD]
    if lazy and (in_with or ends):
        end = (
            f"line {getattr(ends[0].node, 'lineno', 0)} ends the pool"
            if ends
            else (f"the with block of line {site.line} ends")
        )
        return [
            case.finding(
                TERMINATED,
                lazy[0].call,
                site.module,
                f"the results of line {lazy[0].line} may be left unread when {end}",
                Severity.WARNS if ends else Severity.INFORMS,
            )
        ]
    return []


def _default_executor(module: Module) -> list[Finding]:
    """``run_in_executor(None, ...)`` stays in this process: good to know."""
    rule = RULES["DX308"]
    found: list[Finding] = []
    for node in module.names.attributes.get("run_in_executor", ()):
        call = module.names.parent.get(node)
        if isinstance(call, ast.Call) and call.func is node and call.args:
            first = call.args[0]
            if isinstance(first, ast.Constant) and first.value is None:
                found.append(
                    Finding(
                        code=rule.code,
                        severity=Severity.INFORMS,
                        place=Place(path=module.path, line=call.lineno, column=module.column(call)),
                        message=f"run_in_executor(None, ...) on line {call.lineno} uses the "
                        "loop's default "
                        "executor, which stays in this process",
                        site_line=None,
                        hint="Pass an executor of distexec to distribute the call.",
                    )
                )
    return found


def _comment_findings(comments: Comments, module: Module) -> list[Finding]:
    found: list[Finding] = []
    for comment in comments.all:
        place = Place(path=module.path, line=comment.line, column=comment.column)
        unknown = sorted(comment.codes - RULES.keys())
        if unknown:
            found.append(
                Finding(
                    code=UNKNOWN_CODE.code,
                    severity=UNKNOWN_CODE.severity,
                    place=place,
                    site_line=None,
                    message=f"there is no rule {', '.join(unknown)}",
                    hint=UNKNOWN_CODE.hint,
                )
            )
        elif not comment.is_used:
            found.append(
                Finding(
                    code=UNUSED_COMMENT.code,
                    severity=UNUSED_COMMENT.severity,
                    place=place,
                    site_line=None,
                    message="this comment changes nothing",
                    hint=UNUSED_COMMENT.hint,
                )
            )
    return found
