"""Reads one function: what it does by itself, and what it calls."""

import ast
from collections.abc import Iterator

from distexec.migrate.catalog import (
    CALL_EFFECTS,
    CHANGES_ITS_ARGUMENT,
    MEMORIZERS,
    METHOD_EFFECTS,
    MUTATORS,
    canonical,
)
from distexec.migrate.effects.effect import Callee, Effect
from distexec.migrate.effects.writes import Writes
from distexec.migrate.project import Definition, own_nodes, root_name
from distexec.migrate.scopes import Scope

_LOOPS = (ast.For, ast.AsyncFor, ast.While)


class Reader(Writes):
    """Walks over the nodes of one function; `calls` is filled on the way."""

    def effects(self) -> Iterator[Effect]:
        """Everything that the function does, calls of other functions apart."""
        self.calls: list[Callee] = []
        yield from self._decorators()
        for node in sorted(own_nodes(self.function), key=_position):
            if isinstance(node, ast.Name):
                yield from self._name(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                yield from self.of(node.value, node)
            elif isinstance(node, ast.AugAssign):
                yield from self._augmented(node)
            if isinstance(node, ast.While | ast.If):
                yield from self._polls(node)

    def _decorators(self) -> Iterator[Effect]:
        """What runs around the function: the functions inside of its decorators."""
        for mark in getattr(self.function, "decorator_list", ()):
            head = mark.func if isinstance(mark, ast.Call) else mark
            names = {canonical(name) for name in self.project.dotted(head, self.module)}
            if names & MEMORIZERS:
                yield self.effect("remembers", self.module.text(mark), mark)
            found = self.project.definition(head, self.module)
            if found is not None:
                for inner in _functions_inside(found):
                    self.calls.append(Callee(mark, inner))

    # -- names ------------------------------------------------------------------------------------

    def _name(self, node: ast.Name) -> Iterator[Effect]:
        home = self.names.scope_at(node).lookup(node.id)
        if home is None or self.is_own(home):
            return
        if isinstance(node.ctx, ast.Load):
            yield from self._read_outside(node, home)
        elif home.parent is None:
            kind = "lazy-write" if self.is_lazy(node) else "global-write"
            yield self.effect(kind, node.id, node)
        elif home.kind == "class":
            yield self.effect("class-write", node.id, node)
        else:
            yield self.effect("nonlocal-write", node.id, node, home=home)

    def _augmented(self, node: ast.AugAssign) -> Iterator[Effect]:
        """``block *= 2`` changes an array or list in place, if nobody reads the new binding."""
        target = node.target
        if not isinstance(target, ast.Name) or self.scope.lookup(target.id) is not self.scope:
            return
        kinds = {binding.kind for binding in self.scope.bindings[target.id]}
        reads = [
            u for u in self.names.names_of(target.id, self.scope) if isinstance(u.ctx, ast.Load)
        ]
        in_loop = any(isinstance(up, _LOOPS) for up in _inside(self.names.ancestors(node), self))
        if kinds == {"param", "augment"} and not any(
            in_loop or _position(use) > _position(node) for use in reads
        ):
            yield self.effect("argument-write", target.id, node, parameter=target.id)

    def _read_outside(self, node: ast.Name, home: Scope) -> Iterator[Effect]:
        bindings = home.bindings.get(node.id, ())
        if all(binding.kind in ("def", "class") for binding in bindings):
            return
        inner_home = home if home.parent is not None else None
        for value in self.values.of(node, self.module):
            if value.is_resource:
                yield self.effect("uses", node.id, node, value=value, home=inner_home)
        owner = self.values.owner_of(node, self.module) if home.parent is not None else None
        for inner in self.values.inside(owner) if owner is not None else ():
            # The captured object travels with the function, and all that is in it.
            yield self.effect("uses", node.id + inner.path, node, value=inner, home=inner_home)
        if home.parent is None and self._filled_at_run_time(node.id, home):
            yield self.effect("reads", node.id, node)

    def _filled_at_run_time(self, name: str, home: Scope) -> bool:
        """Whether another function assigns the global with a ``global`` statement."""
        bindings = home.bindings.get(name, ())
        writers = {
            binding.scope.node
            for binding in bindings
            if binding.scope.parent is not None and binding.kind in ("assign", "augment")
        }
        if any(_is_container(binding.value) for binding in bindings):
            for use in self.names.names_of(name, home):
                up = self.names.parent.get(use)
                mutates = isinstance(up, ast.Attribute) and up.attr in MUTATORS
                stores = isinstance(up, ast.Subscript) and not isinstance(up.ctx, ast.Load)
                writer = self.names.enclosing_function(use)
                if writer is not None and (mutates or stores):
                    writers.add(writer)
        return bool(writers) and self.function not in writers

    # -- loops that wait for somebody else ------------------------------------------------------

    def _polls(self, node: ast.While | ast.If) -> Iterator[Effect]:
        """``while not self.stopped``: who sets it does so in another process then."""
        if isinstance(node, ast.If):
            leaves = any(isinstance(s, ast.Break | ast.Return | ast.Raise) for s in node.body)
            around = self.names.ancestors(node)
            if not leaves or not any(isinstance(up, _LOOPS) for up in _inside(around, self)):
                return
        for part in ast.walk(node.test):
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                line = self._changed_elsewhere(part)
            elif isinstance(part, ast.Name):
                line = self._rebound_elsewhere(part)
            else:
                continue
            if line:
                yield self.effect(
                    "polls",
                    self.module.text(part),
                    node,
                    elsewhere=line,
                    in_doubt=isinstance(node, ast.If),
                )
                return

    def _changed_elsewhere(self, part: ast.Attribute) -> int:
        """Line at which the attribute of an object from outside is assigned, but at its making."""
        root = part.value
        assert isinstance(root, ast.Name)
        home = self.names.scope_at(root).lookup(root.id)
        if home is None or (self.is_own(home) and not self.is_parameter(root)):
            return 0
        if any(b.kind == "import" for b in home.bindings.get(root.id, ())):
            return 0
        stores = [
            use
            for use in self.names.attributes.get(part.attr, ())
            if isinstance(use.ctx, ast.Store)
        ]
        functions = [self.names.enclosing_function(use) for use in stores]
        if self.function in functions:
            return 0
        for use, function in zip(stores, functions, strict=True):
            if getattr(function, "name", "") not in ("__init__", "__new__", "__post_init__"):
                return use.lineno
        return 0

    def _rebound_elsewhere(self, part: ast.Name) -> int:
        """Line at which another function rebinds the variable from outside."""
        home = self.names.scope_at(part).lookup(part.id)
        if home is None or self.is_own(home):
            return 0
        for binding in home.bindings.get(part.id, ()):
            writer = binding.scope.node
            rebinds = binding.kind in ("assign", "augment") and binding.scope is not home
            if rebinds and writer is not self.function:
                return getattr(binding.node, "lineno", 0)
        return 0

    # -- attributes -------------------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> Iterator[Effect]:
        if not isinstance(node.ctx, ast.Load):
            yield from self.of(node.value, node)
            return
        if isinstance(node.value, ast.Name) and node.value.id == self.receiver:
            self._property(node)
            if isinstance(self.names.parent.get(node), ast.Attribute | ast.Call | ast.withitem):
                for value in self.values.of(node, self.module):
                    if value.is_resource:
                        yield self.effect("uses", f"self{value.path}", node, value=value)
            return
        if "os.environ" in self.project.dotted(node, self.module):
            up = self.names.parent.get(node)
            if not (isinstance(up, ast.Subscript) and not isinstance(up.ctx, ast.Load)):
                yield self.effect("environment-read", "os.environ", node)

    def _property(self, node: ast.Attribute) -> None:
        """Reading a property runs it."""
        callee = self.values.callee(node, self.module)
        if callee is not None and isinstance(callee.node, ast.FunctionDef):
            marks = {callee.module.text(m).rpartition(".")[2] for m in callee.node.decorator_list}
            if marks & {"property", "cached_property"}:
                self.calls.append(Callee(node, callee))

    # -- calls ------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Iterator[Effect]:
        for name in self.project.dotted(node.func, self.module):
            known = canonical(name)
            if known in CALL_EFFECTS:
                subject = f"{name.removeprefix('builtins.')}()"
                yield self.effect(CALL_EFFECTS[known], subject, node)
            if known in CHANGES_ITS_ARGUMENT and node.args:
                yield from self.of(node.args[0], node)
        for keyword in node.keywords:
            if keyword.arg == "out":
                yield from self.of(keyword.value, node)
        if isinstance(node.func, ast.Attribute):
            yield from self._method(node, node.func)
        callee = self.values.callee(node.func, self.module)
        if callee is not None and not isinstance(callee.node, ast.ClassDef):
            receiver: ast.expr | None = None
            if callee.owner is not None and callee.name == "__call__":
                receiver = node.func
            elif callee.owner is not None and isinstance(node.func, ast.Attribute):
                receiver = node.func.value
            self.calls.append(Callee(node, callee, self._is_private(receiver), receiver))
        elif callee is None and isinstance(node.func, ast.Name) and self.is_parameter(node.func):
            yield self.effect("runs", node.func.id, node)

    def _method(self, node: ast.Call, func: ast.Attribute) -> Iterator[Effect]:
        attr = func.attr
        if attr in METHOD_EFFECTS:
            yield self.effect(METHOD_EFFECTS[attr], f".{attr}()", node)
        in_place = any(
            k.arg == "inplace" and isinstance(k.value, ast.Constant) and k.value.value is True
            for k in node.keywords
        )
        if attr in MUTATORS or in_place:
            values = self.values.of(func.value, self.module)
            if not any(value.is_resource for value in values):
                yield from self.of(func.value, node, by="" if in_place else attr)
        if attr in ("submit", "map", "run_in_executor") and any(
            value.kind == "executor" for value in self.values.of(func.value, self.module)
        ):
            yield self.effect("submits", self.module.text(func), node)

    def _is_private(self, receiver: ast.expr | None) -> bool:
        """Whether a method is called on an object that this call made or was given."""
        if receiver is None:
            return False
        root = root_name(receiver)
        if root is None or root.id == self.receiver:
            return root is None
        home = self.names.scope_at(root).lookup(root.id)
        return home is not None and self.is_own(home)


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _inside(ancestors: Iterator[ast.AST], reader: Reader) -> Iterator[ast.AST]:
    for up in ancestors:
        if up is reader.function:
            return
        yield up


def _functions_inside(definition: Definition) -> Iterator[Definition]:
    """The functions that a decorator puts around another one; ``__call__`` of a class."""
    module, outer = definition.module, definition.node
    for node in ast.walk(outer):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node is outer:
            continue
        if not isinstance(outer, ast.ClassDef) or node.name == "__call__":
            yield Definition(module, node)


def _is_container(value: ast.expr | None) -> bool:
    """Whether a global starts as a list, dict or set, which somebody may fill."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return not value.args and value.func.id in ("list", "dict", "set", "defaultdict")
    return isinstance(value, ast.List | ast.Set | ast.Dict)
