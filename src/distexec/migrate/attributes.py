"""What the objects of a class hold: everything that is assigned to ``self.x`` in its methods."""

import ast
from collections.abc import Iterator
from typing import TypeAlias

from distexec.migrate.project import Definition, Module, Project, own_nodes

#: By attribute: each value that it may have, with the module and line of the assignment.
Attributes: TypeAlias = dict[str, list[tuple[ast.expr | None, Module, int]]]


def assigned_attributes(owner: Definition, project: Project) -> Attributes:
    """Values assigned in the class and its bases, in the bodies and in the methods."""
    found: Attributes = {}
    if not isinstance(owner.node, ast.ClassDef):
        return found
    for base in project.bases(owner):
        for item in base.node.body if isinstance(base.node, ast.ClassDef) else ():
            for name, value, line in _assigned(item):
                found.setdefault(name, []).append((value, base.module, line))
    return found


def _assigned(item: ast.stmt) -> Iterator[tuple[str, ast.expr | None, int]]:
    if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.args.args:
        receiver = item.args.args[0].arg
        for node in own_nodes(item):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                for target in _targets(node):
                    if (
                        isinstance(target, ast.Attribute)
                        and isinstance(target.value, ast.Name)
                        and target.value.id == receiver
                    ):
                        yield target.attr, node.value, node.lineno
    elif isinstance(item, ast.Assign | ast.AnnAssign):
        for target in _targets(item):
            if isinstance(target, ast.Name):
                yield target.id, item.value, item.lineno


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]
