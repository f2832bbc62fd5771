"""Something changes in a function: whose memory is it?"""

import ast
from collections.abc import Iterator
from dataclasses import replace

from distexec.migrate.catalog import PROCESS_STATE
from distexec.migrate.effects.effect import Effect
from distexec.migrate.project import Definition, Project, alternatives, root_name
from distexec.migrate.scopes import FunctionNode, Scope
from distexec.migrate.values import Values

#: Iterating over these gives the items of their first argument.
_SAME_ITEMS = {"enumerate", "reversed", "sorted", "zip", "list", "tuple", "iter"}
#: Methods whose result is shared as the container is.
_SHARED_ITEM = ("get", "setdefault")
#: Aliases that are followed.
_MOST_HOPS = 4


class Writes:
    """One function, and what a write in it means outside of it."""

    def __init__(self, project: Project, values: Values, definition: Definition) -> None:
        assert not isinstance(definition.node, ast.ClassDef)
        self.project, self.values = project, values
        self.definition, self.module = definition, definition.module
        self.names = definition.module.names
        self.function: FunctionNode = definition.node
        self.scope = self.names.scope_of[definition.node]
        arguments = self.function.args
        plain = [*arguments.posonlyargs, *arguments.args]
        marks = {getattr(mark, "id", "") for mark in getattr(self.function, "decorator_list", ())}
        is_method = definition.owner is not None and "staticmethod" not in marks
        #: The name of ``self``, or of ``cls``.
        self.receiver = plain[0].arg if is_method and plain else ""
        self.is_classmethod = "classmethod" in marks

    def effect(self, kind: str, subject: str, node: ast.AST, **more: object) -> Effect:
        """An effect of this function."""
        return Effect(kind, subject, self.module, node, **more)  # type: ignore[arg-type]  # keywords of Effect

    def is_own(self, home: Scope) -> bool:
        """Whether a variable lives in this function (comprehensions and lambdas in it too)."""
        scope: Scope | None = home
        while scope is not None:
            if scope is self.scope:
                return True
            scope = scope.parent
        return False

    def is_parameter(self, name: ast.Name) -> bool:
        """Whether it is a parameter of this function, and nothing else."""
        home = self.names.scope_at(name).lookup(name.id)
        bindings = home.bindings.get(name.id, []) if home is self.scope and home else []
        return bool(bindings) and all(binding.kind == "param" for binding in bindings)

    def is_lazy(self, node: ast.Name) -> bool:
        """``if cache is None: cache = ...`` fills a cache; each process may have its own."""
        for up in self.names.ancestors(node):
            if isinstance(up, ast.If):
                test = ast.dump(up.test)
                return f"id='{node.id}'" in test and (
                    "Is()" in test or "Not()" in test or "NotIn" in test
                )
            if up is self.function:
                break
        return False

    def of(self, base: ast.expr, node: ast.AST, *, by: str = "") -> Iterator[Effect]:
        """Something in *base* changes at *node*.

        Args:
            by: The method that changes it, if that may as well be another one of the same name.
        """
        process = self.project.dotted(base, self.module) & PROCESS_STATE.keys()
        if process:
            name = min(process)
            yield self.effect(PROCESS_STATE[name], name, node)
            return
        if isinstance(base, ast.Call):
            yield from self._in_result(base, node, by)
            return
        root = root_name(base)
        if root is None:
            return
        written = node if isinstance(node, ast.Attribute) else base
        subject = self.module.text(written)
        if "\n" in subject or len(subject) > 60:
            subject = root.id
        yield from self._root(root, base, subject, node, by, 0)

    def _in_result(self, base: ast.Call, node: ast.AST, by: str) -> Iterator[Effect]:
        if isinstance(base.func, ast.Attribute) and base.func.attr in _SHARED_ITEM:
            yield from self.of(base.func.value, node, by=by)
            return
        callee = base.func.id if isinstance(base.func, ast.Name) else ""
        if callee == "type":
            yield self.effect("class-write", self.module.text(base), node)
        elif callee == "globals":
            yield self.effect("global-write", "globals()", node)
        elif callee == "vars" and base.args:
            yield from self.of(base.args[0], node)

    def _root(
        self, root: ast.Name, base: ast.expr, subject: str, node: ast.AST, by: str, hops: int
    ) -> Iterator[Effect]:
        home = self.names.scope_at(root).lookup(root.id)
        if home is None or hops > _MOST_HOPS:
            return
        if any(value.kind == "thread-local" for value in self.values.of(root, self.module)):
            return
        kinds = {binding.kind for binding in home.bindings.get(root.id, ())}
        doubt = bool(by) and not self._is_container(base)
        if self.is_own(home):
            if root.id == self.receiver and kinds == {"param"}:
                yield from self._on_receiver(base, subject, node, doubt)
            else:
                yield from self._own(root, subject, node, by, hops, doubt)
        elif kinds == {"class"} or (kinds == {"import"} and self._names_class(root)):
            yield self.effect("class-write", subject, node, in_doubt=doubt)
        elif home.parent is None:
            if not self._is_call_into_library(root, base, kinds, by):
                kind = "lazy-write" if self.is_lazy(root) else "global-write"
                yield self.effect(kind, subject, node, in_doubt=doubt)
        elif self._is_outer_receiver(root, home):
            yield self.effect("attribute-write", subject, node, in_doubt=doubt)
        else:
            yield self.effect("closure-write", subject, node, in_doubt=doubt, home=home)

    def _own(
        self, root: ast.Name, subject: str, node: ast.AST, by: str, hops: int, doubt: bool
    ) -> Iterator[Effect]:
        """A variable of the function: a parameter, or another name for something outside."""
        bindings = [b for b in self.names.reaching(root) if b.kind in ("param", "for", "assign")]
        for binding in bindings:
            found: Iterator[Effect] = iter(())
            if binding.kind == "param" and binding.scope is self.scope:
                effect = self.effect("argument-write", subject, node, parameter=root.id)
                found = iter([replace(effect, in_doubt=doubt)])
            elif binding.value is not None:
                found = self._alias(binding.value, binding.kind, subject, node, by, hops)
            for effect in found:
                yield replace(effect, in_doubt=effect.in_doubt or len(bindings) > 1)

    def _is_call_into_library(
        self, root: ast.Name, base: ast.expr, kinds: set[str], by: str
    ) -> bool:
        """Whether ``root.add()`` calls a function, rather than changes an object."""
        if kinds & {"def"}:
            return bool(by)
        if kinds != {"import"} or not by:
            return False
        if not isinstance(base, ast.Name):
            return not self._is_container(base)
        return all(
            self.project.find(name) is None for name in self.project.dotted(root, self.module)
        )

    def _on_receiver(
        self, base: ast.expr, subject: str, node: ast.AST, doubt: bool
    ) -> Iterator[Effect]:
        inner = base
        while isinstance(inner, ast.Attribute | ast.Subscript) and not (
            isinstance(inner.value, ast.Name) and inner.value.id == self.receiver
        ):
            inner = inner.value
        on_class = self.is_classmethod or "__class__" in subject
        if not on_class and isinstance(inner, ast.Attribute) and self.definition.owner is not None:
            on_class = self._is_class_level(inner.attr, self.definition.owner)
        kind = "class-write" if on_class else "attribute-write"
        yield self.effect(kind, subject, node, in_doubt=doubt, parameter=self.receiver)

    def _is_class_level(self, attr: str, owner: ast.ClassDef) -> bool:
        """Whether the attribute is a container of the class body that no method replaces."""
        values = self.values.attributes(Definition(self.module, owner)).get(attr, [])
        body = {id(item.value) for item in owner.body if isinstance(item, ast.Assign)}
        return bool(values) and all(id(value) in body for value, _, _ in values)

    def _alias(
        self, value: ast.expr, kind: str, subject: str, node: ast.AST, by: str, hops: int
    ) -> Iterator[Effect]:
        """A local variable changes: if it is another name for something outside, say so."""
        for choice in alternatives(value):
            source = _shared_source(choice, kind)
            root = root_name(source) if source is not None else None
            if root is not None and source is not None:
                yield from self._root(root, source, subject, node, by, hops + 1)

    def _is_outer_receiver(self, root: ast.Name, home: Scope) -> bool:
        """Whether *root* is ``self`` of a method around this nested function."""
        function = home.node
        up = self.names.parent.get(function)
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        arguments = [*function.args.posonlyargs, *function.args.args]
        return isinstance(up, ast.ClassDef) and bool(arguments) and arguments[0].arg == root.id

    def _names_class(self, root: ast.Name) -> bool:
        found = self.project.definition(root, self.module)
        return found is not None and isinstance(found.node, ast.ClassDef)

    def _is_container(self, node: ast.expr) -> bool:
        return any(value.kind == "container" for value in self.values.of(node, self.module))


def _shared_source(value: ast.expr, kind: str) -> ast.expr | None:
    """What a variable is a part of, or another name for, after ``for`` or ``=``."""
    if isinstance(value, ast.Call):
        func = value.func
        if isinstance(func, ast.Attribute):
            names = ("values", "items") if kind == "for" else _SHARED_ITEM
            value = func.value if func.attr in names else value
        elif kind == "for" and isinstance(func, ast.Name) and func.id in _SAME_ITEMS and value.args:
            value = value.args[0]
    return value if isinstance(value, ast.Name | ast.Attribute | ast.Subscript) else None
