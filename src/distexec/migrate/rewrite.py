"""From verdicts to edits: which references go to distexec, and what that means for the imports."""

import ast
import re
from dataclasses import dataclass, field

from distexec.migrate.catalog import EXECUTORS, MIRRORED, canonical
from distexec.migrate.groups import FOLLOWERS, Group
from distexec.migrate.imports import (
    add_after,
    drop_aliases,
    from_import,
    remove_statement,
    replace_statement,
    swap_alias,
    swap_module,
)
from distexec.migrate.pools import Reference, Site, Survey
from distexec.migrate.project import Module, Project
from distexec.migrate.quoted import quoted_names_follow, rename_quoted
from distexec.migrate.records import Edit
from distexec.migrate.scopes import Binding, Scope


@dataclass(slots=True)
class Rewrite:
    """The edits of one file, and what they mean for tests that patch names in it."""

    edits: list[Edit] = field(default_factory=list)
    moves: dict[str, str] = field(default_factory=dict)


class Rewriter:
    """Plans the edits of one module."""

    def __init__(self, survey: Survey, project: Project, rewritten: list[Site]) -> None:
        self.survey, self.module, self.project = survey, survey.module, project
        self.names = survey.module.names
        self.out = Rewrite()
        for reference in survey.references:
            reference.moves = False
        for site in rewritten:
            for reference in site.references:
                reference.moves = True
        taken = any(
            any(
                b.kind != "import" or b.target.partition(".")[0] != "distexec"
                for b in scope.bindings.get("distexec", ())
            )
            for scope in {self.names.root, *self.names.scope_of.values()}
        )
        #: What the module is called where single references change.
        self.prefix = "_distexec" if taken else "distexec"
        self.groups = self._group()
        self.swapped: set[int] = set()
        self._added: set[tuple[int, str]] = set()

    def stuck(self) -> set[Reference]:
        """References whose import cannot go whole, and that a second import would not help.

        They need two names at once, after conditional imports, or their import is in the body of a
        class, where an import of ours would not be seen by the methods.
        """
        return {
            reference
            for group in self.groups
            for reference in group.moving
            if (len(reference.targets) > 1 or group.is_in_class)
            and not (group.can_swap and self._all_named(group))
        }

    def _all_named(self, group: Group) -> bool:
        futures = [b for b in group.bindings if b.target.startswith("concurrent")]
        aliases = [b.node for b in futures if isinstance(b.node, ast.alias)]
        return bool(aliases) and all(self._same_name(alias) for alias in aliases)

    def plan(self) -> Rewrite:
        """All edits for the references that move."""
        if not any(reference.moves for reference in self.survey.references):
            return self.out
        touched: dict[ast.stmt, list[tuple[Group, Binding]]] = {}
        for group in self.groups:
            if group.moving and group.can_swap:
                self.swapped.add(id(group))
        for group in self.groups:
            if not group.moving:
                continue
            if group.home is None:
                self._star(group)
                continue
            for binding in group.bindings:
                statement = self.names.statement(binding.node)
                touched.setdefault(statement, []).append((group, binding))
        for statement, pairs in touched.items():
            if isinstance(statement, ast.ImportFrom):
                self._from_import(statement, pairs)
            elif isinstance(statement, ast.Import):
                self._plain_import(statement, pairs)
        for group in self.groups:
            if group.moving and group.home is not None and id(group) not in self.swapped:
                self._inline(group)
        return self.out

    def _group(self) -> list[Group]:
        groups: dict[tuple[str, Scope | None], Group] = {}
        for reference in self.survey.references:
            key = (reference.root, reference.home)
            if key not in groups:
                bindings = (
                    self.survey.imports.get((reference.root, reference.home), [])
                    if reference.home
                    else []
                )
                groups[key] = Group(reference.root, reference.home, [], bindings)
            groups[key].references.append(reference)
        return list(groups.values())

    # -- from concurrent.futures import ... ------------------------------------------------------

    def _from_import(self, statement: ast.ImportFrom, pairs: list[tuple[Group, Binding]]) -> None:
        swapping = {binding.node for group, binding in pairs if id(group) in self.swapped}
        if statement.module == "concurrent" and swapping:
            # from concurrent import futures: the module itself goes.
            if len(swapping) == len(statement.names):
                names = [alias.asname or alias.name for alias in statement.names]
                line = "; ".join(f"import distexec as {name}" for name in names)
                self.out.edits.append(replace_statement(statement, self.module, line))
            else:
                self.out.edits += drop_aliases(statement, _aliases(swapping), self.module)
                for alias in _aliases(swapping):
                    self.out.edits.append(
                        add_after(
                            statement,
                            self.module,
                            f"import distexec as {alias.asname or alias.name}",
                        )
                    )
            for group, _ in pairs:
                self._moved_strings(group)
            return
        if swapping and all(
            self._goes_along(alias, statement, swapping) for alias in statement.names
        ):
            edit = swap_module(statement, self.module, "distexec")
            if edit is not None:
                self.out.edits.append(edit)
                return
        moved = [alias for alias in statement.names if alias in swapping and self._same_name(alias)]
        others = [
            group
            for group, binding in pairs
            if binding.node in swapping and binding.node not in moved
        ]
        for group in others:
            self.swapped.discard(id(group))
        vanishing = {
            binding.node
            for group, binding in pairs
            if id(group) not in self.swapped and all(r.moves for r in group.references)
        }
        new = [from_import(moved)] if moved else []
        if any(id(group) not in self.swapped for group, _ in pairs):
            new.append(self._import_line())
        gone = _aliases({*moved, *vanishing})
        if len(gone) == len(statement.names):
            self.out.edits.append(replace_statement(statement, self.module, "; ".join(new)))
            return
        if gone:
            self.out.edits += drop_aliases(statement, gone, self.module)
        for line in reversed(new):
            if not self._has_import(statement, line):
                self.out.edits.append(add_after(statement, self.module, line))

    def _goes_along(
        self, alias: ast.alias, statement: ast.ImportFrom, swapping: set[ast.AST]
    ) -> bool:
        """Whether *alias* may come from distexec instead."""
        if alias in swapping:
            return self._same_name(alias)
        if statement.level or not (statement.module or "").startswith("concurrent.futures"):
            return False
        if (
            alias.name not in MIRRORED
            or canonical(f"{statement.module}.{alias.name}") != f"concurrent.futures.{alias.name}"
        ):
            return False
        return all(
            reference.role in FOLLOWERS
            for group in self.groups
            if any(binding.node is alias for binding in group.bindings)
            for reference in group.references
        )

    def _same_name(self, alias: ast.alias) -> bool:
        """Whether distexec has it under the name that this import asks for."""
        binding = next(b for g in self.groups for b in g.bindings if b.node is alias)
        names = {canonical(name) for name in self.project.through_tree(binding.target)}
        return alias.name in MIRRORED and names == {f"concurrent.futures.{alias.name}"}

    # -- import concurrent.futures ... -----------------------------------------------------------

    def _plain_import(self, statement: ast.Import, pairs: list[tuple[Group, Binding]]) -> None:
        add = False
        for group, binding in pairs:
            alias = binding.node
            assert isinstance(alias, ast.alias)
            is_futures = alias.name == "concurrent.futures" or alias.name.startswith(
                "concurrent.futures."
            )
            if (
                id(group) in self.swapped
                and is_futures
                and alias.asname
                and alias.name == "concurrent.futures"
            ):
                self.out.edits.append(swap_alias(alias, self.module, "distexec"))
            elif (
                id(group) in self.swapped
                and is_futures
                and not alias.asname
                and quoted_names_follow(self.module)
            ):
                again = self._has_import(statement, self._import_line())
                if again and len(statement.names) == 1:
                    self.out.edits.append(remove_statement(statement, self.module))
                    continue
                self.out.edits.append(swap_alias(alias, self.module, self._as_prefix()))
                self._dotted(group)
            else:
                self.swapped.discard(id(group))
                if (
                    all(reference.moves for reference in group.references)
                    and len(group.bindings) == 1
                ):
                    self.out.edits.append(swap_alias_whole(alias, self.module, self._as_prefix()))
                else:
                    add = True
        if add and not self._has_import(statement, self._import_line()):
            self.out.edits.append(add_after(statement, self.module, self._import_line()))

    def _dotted(self, group: Group) -> None:
        """``concurrent.futures.X`` becomes ``distexec.X`` everywhere."""
        for reference in group.references:
            node = reference.node
            assert isinstance(node, ast.Attribute)
            self.out.edits.append(
                Edit(self.module.start(node), self.module.end(node.value), self.prefix)
            )
        self.out.edits += rename_quoted(self.module, self.prefix)
        self._moved_strings(group)

    # -- single references -------------------------------------------------------------------

    def _inline(self, group: Group) -> None:
        for reference in group.moving:
            node, new = reference.node, self._new_name(reference)
            self.out.edits.append(Edit(self.module.start(node), self.module.end(node), new))
        self._moved_strings(group)

    def _new_name(self, reference: Reference) -> str:
        kind = EXECUTORS[reference.target][0]
        return f"{self.prefix}.{'Thread' if kind == 'thread' else 'Process'}PoolExecutor"

    def _star(self, group: Group) -> None:
        star = self.survey.stars[0]
        if group.can_swap and len(self.survey.stars) == 1:
            edit = swap_module(star, self.module, "distexec")
            if edit is not None:
                self.swapped.add(id(group))
                self.out.edits.append(edit)
                return
        self.out.edits.append(add_after(star, self.module, self._import_line()))
        self._inline(group)

    def _import_line(self) -> str:
        return f"import {self._as_prefix()}"

    def _as_prefix(self) -> str:
        return "distexec" if self.prefix == "distexec" else f"distexec as {self.prefix}"

    def _has_import(self, statement: ast.stmt, line: str) -> bool:
        """Whether the scope has the import already, or another edit adds it there."""
        if not line.startswith("import"):
            return False
        scope = self.names.scope_at(statement)
        for other in (scope, self.names.root):
            for binding in other.bindings.get(self.prefix, ()):
                block = self.names.parent.get(self.names.statement(binding.node))
                if binding.kind == "import" and isinstance(
                    block, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef
                ):
                    return True
        block = self.names.parent.get(statement)
        key = (id(block), line)
        if key in self._added:
            return True
        self._added.add(key)
        return False

    def _moved_strings(self, group: Group) -> None:
        """Note the dotted names under which tests may patch what has moved."""
        stays = any(not r.moves and r.role == "call" for r in group.references)
        for reference in group.moving:
            if reference.role == "call":
                tail = reference.target.rpartition(".")[2]
                old = re.sub(r"\s", "", self.module.text(reference.node))
                new = self._new_name(reference)
                if id(group) in self.swapped and group.name != "concurrent":
                    continue
                self.out.moves[f"{self.module.name}.{old}"] = (
                    "" if stays else f"{self.module.name}.{new}"
                )
                if isinstance(reference.node, ast.Attribute):
                    self.out.moves[f"concurrent.futures.{tail}@{self.module.name}"] = (
                        f"distexec.{tail}"
                    )


def swap_alias_whole(alias: ast.alias, module: Module, new: str) -> Edit:
    """Replace ``a.b as c`` by *new*."""
    return Edit(module.start(alias), module.end(alias), new)


def _aliases(nodes: set[ast.AST]) -> set[ast.alias]:
    return {node for node in nodes if isinstance(node, ast.alias)}
