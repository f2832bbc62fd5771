"""A page for each rule: what goes wrong, a small example, how to fix it."""

import re
from functools import cache
from importlib.resources import files

from distexec.migrate.rules import RULES

_HEADING = re.compile(r"^## (DX\d{3})\b.*$", re.M)


@cache
def _pages() -> dict[str, str]:
    """The bodies of all pages, by code."""
    found: dict[str, str] = {}
    for book in sorted(
        files("distexec.migrate").joinpath("pages").iterdir(), key=lambda book: book.name
    ):
        if book.name.endswith(".md"):
            parts = _HEADING.split(book.read_text("utf-8"))
            found.update(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))
    return found


def page(code: str) -> str:
    """The page of *code*.

    Raises:
        KeyError: There is no such rule.
    """
    rule = RULES[code]
    summary = rule.summary[0].upper() + rule.summary[1:]
    head = f"{rule.code} {rule.name} ({rule.severity.value})"
    return f"{head}\n\n{summary}.\n\n{_pages()[code]}\n"


def listing() -> str:
    """All rules, one a line."""
    return "\n".join(
        f"{rule.code}  {rule.severity.value:8} {rule.name:26} {rule.summary}"
        for rule in RULES.values()
    )
