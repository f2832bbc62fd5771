"""``--interactive``: ask about each site."""

import sys
from dataclasses import replace
from typing import TextIO

from distexec.migrate.decide import Opinion
from distexec.migrate.explain import page
from distexec.migrate.records import Finding, Place, Severity

_HELP = (
    "y rewrite, n leave alone, e explain the codes, a rewrite all that is safe from here, "
    "q leave the rest alone"
)


class Interview:
    """Asks once for each site, and remembers the answer while the run looks at it again."""

    def __init__(self, answers: TextIO | None = None, screen: TextIO | None = None) -> None:
        self.answers, self.screen = answers or sys.stdin, screen or sys.stderr
        self._known: dict[tuple[str, int, int], bool | None] = {}
        self._rest: str = ""

    def __call__(self, opinions: list[Opinion]) -> None:
        for opinion in opinions:
            place = (opinion.site.module.path, opinion.site.line, opinion.site.call.col_offset)
            if place not in self._known:
                self._known[place] = self._ask(opinion)
            answer = self._known[place]
            if answer is True:
                opinion.findings = [replace(f, severity=Severity.INFORMS) for f in opinion.findings]
            elif answer is False:
                opinion.findings.append(_refusal(opinion))

    def _ask(self, opinion: Opinion) -> bool | None:
        """True to rewrite, False to keep, None to let the rules decide."""
        if self._rest:
            return False if self._rest == "q" else None
        site = opinion.site
        self._say(
            f"\n{site.module.path} line {site.line}: {site.module.source.line(site.line).strip()}"
        )
        for finding in opinion.findings:
            self._say(f"  {finding.code} {finding.severity.value}: {finding.message}")
        while True:
            self.screen.write("Rewrite this pool? [y/n/e/a/q/?] ")
            self.screen.flush()
            line = self.answers.readline()
            if not line:
                self._say("")  # the end of the input leaves the prompt's line open
            answer = line.strip().lower()[:1] if line else "q"
            if answer == "y":
                return True
            if answer == "n":
                return False
            if answer in ("a", "q"):
                self._rest = answer
                return False if answer == "q" else None
            if answer == "e":
                for code in sorted({finding.code for finding in opinion.findings}):
                    self._say(page(code))
            else:
                self._say(_HELP)

    def _say(self, text: str) -> None:
        self.screen.write(text + "\n")


def _refusal(opinion: Opinion) -> Finding:
    site = opinion.site
    return Finding(
        code="DX004",
        severity=Severity.BLOCKS,
        site_line=site.line,
        place=Place(path=site.module.path, line=site.line, column=site.module.column(site.call)),
        message="you chose to leave this pool alone",
        hint="Mark it '# distexec: local' to be asked no more.",
    )
