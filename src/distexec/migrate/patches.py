"""Patch strings in tests: ``patch("pkg.mod.ThreadPoolExecutor")`` must still reach the code."""

import ast
from collections.abc import Iterable, Iterator

from distexec.migrate.project import Module, Project
from distexec.migrate.records import Edit, FileReport, Finding, Place
from distexec.migrate.rules.handling import PATCHED
from distexec.migrate.scopes import Binding
from distexec.migrate.text import Source, Unreadable

_PATCHERS = frozenset({"patch", "setattr", "delattr", "multiple", "object"})
_GLOBAL = ("concurrent.futures.", "concurrent.futures.thread.", "concurrent.futures.process.")


def follow_patches(
    reports: list[FileReport], sources: dict[str, Source], paths: Iterable[str]
) -> None:
    """Add edits for patch strings that name what has moved, or findings where that is unclear."""
    moves: dict[str, str] = {}
    for report in reports:
        moves.update(report.moves)
    if not moves:
        return
    project = Project.of(paths)
    for report in reports:
        source = sources.get(report.path)
        if source is None or report.error or not _may_patch(source.text):
            continue
        try:
            module = project.add(source)
        except Unreadable:
            continue
        for node, value in _patch_strings(module):
            _one(report, module, node, value, moves)


def _may_patch(text: str) -> bool:
    return "patch" in text and ("PoolExecutor" in text or "multiprocessing" in text)


def _patch_strings(module: Module) -> Iterator[tuple[ast.Constant, str]]:
    for node in module.names.parent:
        if isinstance(node, ast.Call) and node.args:
            callee = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            first = node.args[0]
            if (
                callee in _PATCHERS
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                yield first, first.value


def _one(
    report: FileReport, module: Module, node: ast.Constant, value: str, moves: dict[str, str]
) -> None:
    new = moves.get(value)
    if new is None and value.startswith(_GLOBAL):
        tail = value.rpartition(".")[2]
        imported = {b.target for bindings in _imports(module) for b in bindings}
        reached = {
            moved
            for key, moved in moves.items()
            if key.startswith(f"concurrent.futures.{tail}@")
            and any(
                t == (home := key.partition("@")[2]) or t.startswith(home + ".") for t in imported
            )
        }
        if not reached:
            return
        new = reached.pop()
    if new is None:
        return
    text = module.text(node)
    if new and text.count(value) == 1:
        start = module.start(node) + text.index(value)
        report.edits.append(Edit(start, start + len(value), new))
        return
    report.findings.append(
        Finding(
            code=PATCHED.code,
            severity=PATCHED.severity,
            place=Place(path=report.path, line=node.lineno, column=module.column(node)),
            message=f"the patch of {value!r} on line {node.lineno} reaches only a part of the "
            "pools now",
            site_line=None,
            hint=PATCHED.hint,
        )
    )


def _imports(module: Module) -> Iterator[list[Binding]]:
    for scope in {module.names.root, *module.names.scope_of.values()}:
        for bindings in scope.bindings.values():
            yield [binding for binding in bindings if binding.kind == "import"]
