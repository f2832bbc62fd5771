"""Annotations in strings that name ``concurrent.futures``: they follow the import."""

import ast
import re
from collections.abc import Iterator

from distexec.migrate.catalog import MIRRORED
from distexec.migrate.project import Module
from distexec.migrate.records import Edit

_NAME = re.compile(r"\bconcurrent\.futures\.(\w+)")


def quoted_names_follow(module: Module) -> bool:
    """Whether distexec has all that annotations in strings name."""
    return all(
        match[1] in MIRRORED and "\\" not in module.text(node)
        for node in _annotations(module)
        for match in _NAME.finditer(module.text(node))
    )


def rename_quoted(module: Module, prefix: str) -> Iterator[Edit]:
    """``"concurrent.futures.X"`` becomes ``"prefix.X"`` in annotations."""
    for node in _annotations(module):
        start = module.start(node)
        for match in _NAME.finditer(module.text(node)):
            yield Edit(start + match.start(), start + match.start(1) - 1, prefix)


def _annotations(module: Module) -> Iterator[ast.Constant]:
    if '"' not in module.source.text and "'" not in module.source.text:
        return
    for node in module.names.parent:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "concurrent.futures." in node.value
            and is_annotation(node, module.names.parent)
        ):
            yield node


def is_annotation(node: ast.AST, parent: dict[ast.AST, ast.AST]) -> bool:
    """Whether *node* is, or lies in, an annotation."""
    child, up = node, parent.get(node)
    while up is not None and not isinstance(up, ast.stmt):
        if isinstance(up, ast.arg):
            return True
        if isinstance(up, ast.Call):
            return isinstance(up.func, ast.Name) and up.func.id == "cast" and up.args[:1] == [child]
        child, up = up, parent.get(up)
    if isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef):
        return up.returns is child
    return isinstance(up, ast.AnnAssign) and up.annotation is child
