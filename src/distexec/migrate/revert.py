"""The way back: distexec's names for ``concurrent.futures`` become the standard library's again."""

import ast
import re

from distexec.migrate.catalog import MIRRORED
from distexec.migrate.imports import (
    add_after,
    drop_aliases,
    from_import,
    remove_statement,
    replace_statement,
    swap_alias,
    swap_module,
)
from distexec.migrate.project import Module
from distexec.migrate.quoted import is_annotation
from distexec.migrate.records import Edit
from distexec.migrate.scopes import Binding, Scope

_IN_STRING = re.compile(r"\b(distexec)\.(\w+)")


def revert(module: Module) -> list[Edit]:
    """Edits that lead back; what only distexec has stays."""
    edits: list[Edit] = []
    done: set[ast.stmt] = set()
    names = module.names
    for star in names.star_imports:
        if star.module == "distexec":
            edit = swap_module(star, module, "concurrent.futures")
            edits += [edit] if edit else []
    for scope in {names.root, *names.scope_of.values()}:
        for name, bindings in list(scope.bindings.items()):
            for binding in bindings:
                if binding.kind != "import" or binding.target.partition(".")[0] != "distexec":
                    continue
                statement = names.statement(binding.node)
                if isinstance(statement, ast.ImportFrom) and statement.module == "distexec":
                    if statement not in done:
                        done.add(statement)
                        edits += _from_import(statement, module)
                elif isinstance(statement, ast.Import) and binding.target == "distexec":
                    edits += _import(statement, binding, name, scope, module)
    return edits


def _from_import(statement: ast.ImportFrom, module: Module) -> list[Edit]:
    ours = {alias for alias in statement.names if alias.name in MIRRORED}
    if len(ours) == len(statement.names):
        edit = swap_module(statement, module, "concurrent.futures")
        return [edit] if edit else []
    if not ours:
        return []
    kept = [alias for alias in statement.names if alias in ours]
    return [
        *drop_aliases(statement, ours, module),
        add_after(statement, module, from_import(kept, "concurrent.futures")),
    ]


def _import(
    statement: ast.Import, binding: Binding, name: str, scope: Scope, module: Module
) -> list[Edit]:
    """``import distexec [as x]``: what it was depends on what else is imported."""
    names, alias = module.names, binding.node
    assert isinstance(alias, ast.alias)
    uses = [use for use in names.names_of(name, scope) if isinstance(use.ctx, ast.Load)]
    chains = [up for use in uses if isinstance(up := names.parent.get(use), ast.Attribute)]
    if len(chains) != len(uses) or any(up.attr not in MIRRORED for up in chains):
        return []
    if alias.asname and alias.asname != "_distexec":
        if alias.asname == "futures" and len(statement.names) == 1:
            return [replace_statement(statement, module, "from concurrent import futures")]
        return [swap_alias(alias, module, "concurrent.futures")]
    edits: list[Edit] = []
    is_added = False
    for use, chain in zip(uses, chains, strict=True):
        there = _existing(chain.attr, use, module)
        is_added = is_added or there is not None
        new = there or f"concurrent.futures.{chain.attr}"
        edits.append(Edit(module.start(chain), module.end(chain), new))
    if is_added and all(
        _existing(chain.attr, use, module) for use, chain in zip(uses, chains, strict=True)
    ):
        edits.append(remove_statement(statement, module))
    else:
        edits.append(Edit(module.start(alias), module.end(alias), "concurrent.futures"))
        edits += _strings(module)
    return edits


def _strings(module: Module) -> list[Edit]:
    """String annotations that name distexec."""
    return [
        Edit(
            module.start(node) + match.start(),
            module.start(node) + match.end(1),
            "concurrent.futures",
        )
        for node in module.names.parent
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and "distexec." in node.value
        if is_annotation(node, module.names.parent)
        for match in _IN_STRING.finditer(module.text(node))
        if match[2] in MIRRORED
    ]


def _existing(attr: str, use: ast.Name, module: Module) -> str | None:
    """How the module names the standard class already, if it still imports it."""
    scope: Scope | None = module.names.scope_at(use)
    while scope is not None:
        for name, bindings in scope.bindings.items():
            for binding in bindings:
                if binding.kind == "import":
                    if binding.target.startswith("concurrent.futures") and binding.target.endswith(
                        f".{attr}"
                    ):
                        return name
                    if binding.target == "concurrent.futures":
                        return f"{name}.{attr}"
                    if binding.target == "concurrent" and "futures" in getattr(
                        binding.node, "name", ""
                    ):
                        return f"concurrent.futures.{attr}"
        scope = scope.parent
    for star in module.names.star_imports:
        if star.module == "concurrent.futures":
            return attr
    return None
