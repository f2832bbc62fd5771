"""What the checker saw, for people and for the migration tool."""

import json
import os
from typing import Any

from distexec.check.inspector import Inspector, Observation, SiteRecord

#: Part of the compared calls in which a change must be seen before it is certain.
_CERTAIN = 0.5
_BY_COMPARING = frozenset({"DX101", "DX102", "DX104", "DX105", "DX106"})


def _severity(site: SiteRecord, seen: Observation) -> str:
    # Once is no proof: the caller may have changed it while the call ran.
    if seen.code in _BY_COMPARING and seen.count < max(2, _CERTAIN * site.compared):
        return "warns"
    return seen.severity


def as_data(inspector: Inspector) -> dict[str, Any]:
    """The report as one object, as ``python -m distexec.migrate --evidence`` reads it."""
    return {
        "version": 1,
        "sites": [
            {
                "path": os.path.abspath(site.path),
                "line": site.line,
                "function": site.function,
                "calls": site.calls,
                "checked": site.checked,
                "compared": site.compared,
                "findings": [
                    {
                        "code": seen.code,
                        "severity": _severity(site, seen),
                        "message": seen.message,
                        "count": seen.count,
                    }
                    for seen in site.observations.values()
                ],
            }
            for site in sorted(inspector.sites.values(), key=lambda site: (site.path, site.line))
        ],
    }


def as_json(inspector: Inspector) -> str:
    """The report as JSON text."""
    return json.dumps(as_data(inspector), indent=2)


def as_text(inspector: Inspector) -> str:
    """The report for people."""
    data = as_data(inspector)["sites"]
    calls, checked = (sum(site[key] for site in data) for key in ("calls", "checked"))
    lines = [f"distexec.check: {len(data)} call sites, {calls} calls, {checked} looked at"]
    for site in data:
        path = os.path.relpath(site["path"])
        verdict = "" if site["findings"] else ": nothing found"
        lines.append(
            f"{path} line {site['line']}: {site['function']}, {site['calls']} calls{verdict}"
        )
        for seen in site["findings"]:
            lines.append(
                f"  {seen['code']} {seen['severity']}: {seen['message']} ({seen['count']} times)"
            )
    if any(site["findings"] for site in data):
        lines.append("what a code means: python -m distexec.migrate --explain CODE")
    return "\n".join(lines)
