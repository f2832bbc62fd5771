"""``--evidence``: what the checker saw while the program ran confirms findings, or refutes them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distexec.migrate.decide import Opinion
from distexec.migrate.options import WrongUse
from distexec.migrate.records import Finding, Place, Severity
from distexec.migrate.rules import OBSERVED

#: Guesses that clean calls refute.
_GUESSES = frozenset({"DX107", "DX111", "DX213", "DX214", "DX404", "DX413", "DX607"})
#: Calls whose memory was compared, and was clean, that it takes to refute a guess.
_ENOUGH = 3


@dataclass(slots=True)
class Evidence:
    """Observations by call site."""

    calls: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str) -> "Evidence":
        """Load a report of ``distexec.check``.

        Raises:
            WrongUse: It cannot be read, or is something else.
        """
        try:
            data = json.loads(Path(path).read_text("utf-8"))
            calls = {
                (os.path.realpath(site["path"]), int(site["line"])): site for site in data["sites"]
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WrongUse(f"--evidence {path}: no report of distexec.check: {error}") from error
        return cls(calls)

    def __call__(self, opinions: list[Opinion]) -> None:
        for opinion in opinions:
            self._weigh(opinion)

    def _weigh(self, opinion: Opinion) -> None:
        seen = []
        for submission in opinion.case.life.submissions:
            key = os.path.realpath(submission.module.path)
            lines = range(submission.line, (submission.call.end_lineno or submission.line) + 1)
            seen.append(
                next((self.calls[key, line] for line in lines if (key, line) in self.calls), None)
            )
        observed = [site for site in seen if site is not None]
        for site in observed:
            for finding in site.get("findings", ()):
                opinion.findings.append(_observed(opinion, site, finding))
        clean = len(observed) == len(seen) and all(
            not site.get("findings") and site.get("compared", 0) >= _ENOUGH for site in observed
        )
        if observed and clean:
            opinion.findings = [
                replace(
                    f,
                    severity=Severity.INFORMS,
                    message=f"{f.message}; but no call did while it was checked",
                )
                if f.code in _GUESSES and f.severity is Severity.WARNS
                else f
                for f in opinion.findings
            ]


def _observed(opinion: Opinion, site: Mapping[str, Any], finding: Mapping[str, Any]) -> Finding:
    severity = Severity(finding.get("severity", "blocks"))
    code = str(finding.get("code", OBSERVED.code))
    return Finding(
        code=code,
        severity=severity,
        place=Place(path=opinion.site.module.path, line=int(site["line"])),
        message=f"seen while running: {finding.get('message', '')}",
        site_line=opinion.site.line,
        hint=OBSERVED.hint,
    )
