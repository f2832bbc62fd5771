"""DX5xx: files, processes, terminal and environment of the machine that a call runs on."""

from collections.abc import Iterator

from distexec.migrate.catalog import CALL_EFFECTS
from distexec.migrate.records import Finding, Severity
from distexec.migrate.rules.base import Case, Rule

_B, _W, _I = Severity.BLOCKS, Severity.WARNS, Severity.INFORMS

FILES = Rule(
    "DX501",
    "local-files",
    _W,
    "reads or writes files, which other machines do not have",
    "Fine on one machine or a shared file system; otherwise pass contents instead of paths.",
)
TEMPORARY = Rule(
    "DX502",
    "temporary-files",
    _W,
    "makes temporary files on the machine it runs on",
    "Fine if they are removed inside the call; return contents, not paths.",
)
SUBPROCESS = Rule(
    "DX503",
    "subprocess",
    _W,
    "starts programs on the machine it runs on",
    "Make sure the programs are installed on all nodes.",
)
ENVIRONMENT = Rule(
    "DX504",
    "environment-write",
    _B,
    "changes environment variables of the process it runs in",
    "The caller never sees the change, and later calls of the worker do: pass values as arguments.",
)
READS = Rule(
    "DX505",
    "environment-read",
    _I,
    "reads the environment or the current directory",
    "Workers of another machine have their own; pass the value if it may differ.",
)
DIRECTORY = Rule(
    "DX506",
    "directory-change",
    _B,
    "changes the current directory or umask of its process",
    "Use absolute paths.",
)
PRINT = Rule(
    "DX507",
    "print-order",
    _I,
    "prints; lines of several workers may arrive in another order",
    "Return the text and print it where you read the futures, if the order matters.",
)
TERMINAL = Rule(
    "DX508",
    "terminal",
    _B,
    "asks at the terminal, which a worker does not have",
    "Ask before submitting.",
)
PID = Rule(
    "DX509",
    "process-id",
    _W,
    "looks at the process id",
    "It is the worker's; use the call's arguments to tell calls apart.",
)
RULES = (FILES, TEMPORARY, SUBPROCESS, ENVIRONMENT, READS, DIRECTORY, PRINT, TERMINAL, PID)

_BY_KIND = {
    "file": FILES,
    "temporary": TEMPORARY,
    "subprocess": SUBPROCESS,
    "environment-write": ENVIRONMENT,
    "environment-read": READS,
    "directory-read": READS,
    "directory-write": DIRECTORY,
    "print": PRINT,
    "terminal": TERMINAL,
    "pid": PID,
}


def check(case: Case) -> Iterator[Finding]:
    """Find the first touch of each kind on what surrounds the process."""
    seen: set[str] = set()
    for target, effect in case.all_effects():
        rule = _BY_KIND.get(effect.kind)
        if rule is not None and rule.code not in seen:
            seen.add(rule.code)
            yield case.at_effect(rule, target, effect, f"uses {effect.subject}")
    for target in case.targets:
        if target.definition is None:
            for name in target.dotted:
                rule = _BY_KIND.get(CALL_EFFECTS.get(name, ""))
                if rule is not None and rule.code not in seen:
                    seen.add(rule.code)
                    yield case.finding(
                        rule,
                        target.function,
                        target.submission.module,
                        f"{target.label} is submitted on line {target.submission.line} to the "
                        "pool of "
                        f"line {case.site.line}; it {rule.summary}",
                    )
