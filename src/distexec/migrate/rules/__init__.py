"""The rules: one family in each module, and the list of all of them."""

from collections.abc import Iterator

from distexec.migrate.records import Finding, Severity
from distexec.migrate.rules import calls, handling, resources, state, surroundings, threads
from distexec.migrate.rules.base import Case, Rule

UNUSED_COMMENT = Rule(
    "DX001",
    "unused-comment",
    Severity.INFORMS,
    "a distexec comment that changes nothing",
    "Remove the comment.",
)
UNKNOWN_CODE = Rule(
    "DX002",
    "unknown-code",
    Severity.WARNS,
    "a distexec comment names a code that does not exist",
    "See --list-rules.",
)
OBSERVED = Rule(
    "DX003",
    "observed",
    Severity.BLOCKS,
    "the checker saw this call fail or lose data while running",
    "Run python -m distexec.check again after the repair.",
)

REFUSED = Rule(
    "DX004",
    "refused",
    Severity.BLOCKS,
    "you chose in --interactive to leave this pool alone",
    "Mark it '# distexec: local' to be asked no more.",
)

_FAMILIES = (state, resources, threads, handling, surroundings, calls)

#: Every rule by its code.
RULES: dict[str, Rule] = {
    rule.code: rule
    for rules in (
        (UNUSED_COMMENT, UNKNOWN_CODE, OBSERVED, REFUSED),
        *(family.RULES for family in _FAMILIES),
    )
    for rule in rules
}


def examine(case: Case) -> Iterator[Finding]:
    """Everything that speaks against distributing the pool of *case*, each once."""
    seen: set[tuple[str, str, int]] = set()
    for family in _FAMILIES:
        for finding in family.check(case):
            key = (finding.code, finding.place.path, finding.place.line)
            if key not in seen:
                seen.add(key)
                yield finding
