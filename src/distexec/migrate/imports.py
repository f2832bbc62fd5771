"""Surgery on import statements: swap the module, drop names, add a line; comments stay."""

import ast
import re
from collections.abc import Iterable

from distexec.migrate.project import Module
from distexec.migrate.records import Edit

_FROM = re.compile(r"from(?P<gap>[\s\\]+)(?P<module>[\w.]+(?:\s*\.\s*\w+)*|\.+)(?=[\s\\(])")


def swap_module(statement: ast.ImportFrom, module: Module, new: str) -> Edit | None:
    """Change where a ``from`` import takes its names; ``None`` if the text is unusual."""
    start = module.start(statement)
    match = _FROM.match(module.source.text, start)
    if match is None:
        return None
    return Edit(match.start("module"), match.end("module"), new)


def swap_alias(alias: ast.alias, module: Module, new: str) -> Edit:
    """Change the module that ``import a.b as c`` names, and keep the ``as``."""
    start = module.start(alias)
    match = re.compile(r"\w+(?:\s*\.\s*\w+)*").match(module.source.text, start)
    end = match.end() if match else start + len(alias.name)
    return Edit(start, end, new)


def drop_aliases(
    statement: ast.ImportFrom | ast.Import, dropped: set[ast.alias], module: Module
) -> list[Edit]:
    """Remove names from an import that keeps others; comments between them stay."""
    text, edits = module.source.text, list[Edit]()
    names = statement.names
    kept_before = False
    for index, alias in enumerate(names):
        if alias not in dropped:
            kept_before = True
            continue
        start, end = module.start(alias), module.end(alias)
        comma = _comma_after(text, end)
        if index + 1 < len(names):
            if comma is not None:
                end = comma + 1
        else:
            if comma is not None:
                end = comma + 1
            elif kept_before:
                # The last one takes the comma before it along.
                before = _last_kept(names, dropped)
                if before is not None:
                    at = _comma_after(text, module.end(before))
                    if at is not None:
                        edits.append(Edit(at, at + 1, ""))
        line_start = text.rfind("\n", 0, start) + 1
        after = _skip_blanks(text, end)
        alone_left = not text[line_start:start].strip() and line_start > module.start(statement)
        if alone_left and text[after : after + 1] in ("\n", "\r"):
            after += 2 if text[after : after + 2] == "\r\n" else 1
            start, end = line_start, after
        elif text[after : after + 1] not in ("\n", "\r", "", "#", ")", ";"):
            end = after
        else:
            while start > 0 and text[start - 1] in " \t" and text[start - 2 : start - 1] != "(":
                start -= 1
            if text[start - 1 : start] == "(" or alone_left:
                start = module.start(alias)
        edits.append(Edit(start, end, ""))
    return edits


def _last_kept(names: list[ast.alias], dropped: set[ast.alias]) -> ast.alias | None:
    kept = [alias for alias in names if alias not in dropped]
    tail = names[names.index(kept[-1]) + 1 :] if kept else []
    return kept[-1] if tail and all(alias in dropped for alias in tail) else None


def _comma_after(text: str, offset: int) -> int | None:
    at = offset
    while at < len(text):
        if text[at] == ",":
            return at
        if text[at] == "#":
            while at < len(text) and text[at] not in "\r\n":
                at += 1
        elif text[at] not in " \t\r\n\\\f":
            return None
        at += 1
    return None


def _skip_blanks(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in " \t":
        offset += 1
    return offset


def add_after(statement: ast.stmt, module: Module, new: str) -> Edit:
    """Add the simple statement *new* behind *statement*, in the same block."""
    text = module.source.text
    start, end = module.start(statement), module.end(statement)
    line_start = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    indent = text[line_start:start]
    line_end = end
    while line_end < len(text) and text[line_end] not in "\r\n":
        line_end += 1
    rest = text[end:line_end].strip()
    if indent.strip() or (rest and not rest.startswith("#")):
        return Edit(end, end, f"; {new}")
    return Edit(line_end, line_end, f"{module.source.newline}{indent}{new}")


def replace_statement(statement: ast.stmt, module: Module, new: str) -> Edit:
    """Put *new* where *statement* is; a comment behind it stays."""
    return Edit(module.start(statement), module.end(statement), new)


def from_import(names: Iterable[ast.alias], module: str = "distexec") -> str:
    """``from distexec import a, b as c``."""
    parts = (f"{n.name} as {n.asname}" if n.asname else n.name for n in names)
    return f"from {module} import {', '.join(parts)}"


def remove_statement(statement: ast.stmt, module: Module) -> Edit:
    """Take out a statement, with its line if it has one to itself."""
    text = module.source.text
    start, end = module.start(statement), module.end(statement)
    line_start = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    if not text[line_start:start].strip() and text[end : end + 1] in ("", "\r", "\n"):
        if line_start >= 2 and text[line_start - 2 : line_start] == "\r\n":
            return Edit(line_start - 2, end, "")
        return Edit(max(0, line_start - 1), end, "")
    if text[:start].endswith("; "):
        return Edit(start - 2, end, "")
    return Edit(start, end, "pass")
