"""What running a function does to the world around it, followed through calls in the tree."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from distexec.migrate.catalog import CALL_EFFECTS, METHOD_EFFECTS, MUTATORS, canonical
from distexec.migrate.project import Definition, Module, Project, own_nodes, root_name
from distexec.migrate.scopes import FunctionNode, Scope
from distexec.migrate.values import Value, Values

_MAX_DEPTH = 6
_MAX_FUNCTIONS = 150
#: Iterating over these gives the items of their first argument.
_SAME_ITEMS = {"enumerate", "reversed", "sorted", "zip"}
_LOCAL_KINDS = {"argument-write", "closure-write", "nonlocal-write"}


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a function does outside of itself."""

    #: closure-write, global-write, nonlocal-write, attribute-write, class-write, argument-write,
    #: lazy-write, uses (a resource), reads (a global filled elsewhere), runs (its argument),
    #: submits, or a kind of the catalog.
    kind: str
    #: What it is done to: ``results``, ``self.count``, ``os.chdir()``.
    subject: str
    module: Module
    node: ast.AST
    #: Functions on the way from the submitted one to here, with the line of each call.
    chain: tuple[str, ...] = ()
    #: For a resource: what it is.
    value: Value | None = None
    #: We only suspect it: the object's type is not known.
    in_doubt: bool = False
    #: For argument-write: the parameter.
    parameter: str = ""

    @property
    def line(self) -> int:
        """Where it happens."""
        line: int = getattr(self.node, "lineno", 1)
        return line


@dataclass(frozen=True, slots=True)
class _Callee:
    """A call, or the reading of a property, and what it runs."""

    node: ast.expr
    definition: Definition
    #: It is a method of an object that the caller made, or was given.
    is_private: bool
    #: The parameter that holds the object, if it was given.
    parameter: str = ""


class Effects:
    """Collects effects; each function is read once."""

    def __init__(self, project: Project, values: Values) -> None:
        self.project = project
        self.values = values
        self._direct: dict[ast.AST, tuple[list[Effect], list[_Callee]]] = {}

    def of(self, definition: Definition) -> list[Effect]:
        """Everything that calling *definition* does, callees included."""
        found: list[Effect] = []
        seen: set[ast.AST] = set()
        pending: list[tuple[Definition, tuple[str, ...], bool]] = [(definition, (), False)]
        while pending and len(seen) < _MAX_FUNCTIONS:
            current, chain, is_private = pending.pop(0)
            if isinstance(current.node, ast.ClassDef) or current.node in seen:
                continue
            seen.add(current.node)
            direct, calls = self._read(current)
            for effect in direct:
                # What a callee does to its own parameters, or to an object made here, stays here.
                hidden = _LOCAL_KINDS | ({"attribute-write"} if is_private else set())
                if not chain or effect.kind not in hidden:
                    found.append(replace(effect, chain=chain))
            if len(chain) < _MAX_DEPTH:
                for call in calls:
                    callee = call.definition
                    step = f"{callee.name}() called from {current.name}() line {call.node.lineno}"
                    if call.parameter and not chain:
                        found += self._on_parameter(call, step)
                    pending.append((callee, (*chain, step), call.is_private or is_private))
        return found

    def _on_parameter(self, call: _Callee, step: str) -> Iterator[Effect]:
        """A method that changes its object, called on one that the submitted function was given."""
        for effect in self._read(call.definition)[0]:
            if effect.kind == "attribute-write":
                yield replace(
                    effect, kind="argument-write", parameter=call.parameter, chain=(step,)
                )

    def _read(self, definition: Definition) -> tuple[list[Effect], list[_Callee]]:
        known = self._direct.get(definition.node)
        if known is None:
            reader = _Reader(self, definition)
            self._direct[definition.node] = known = (list(reader.effects()), reader.calls)
        return known


class _Reader:
    """Reads one function."""

    def __init__(self, effects: Effects, definition: Definition) -> None:
        assert not isinstance(definition.node, ast.ClassDef)
        self.project, self.values = effects.project, effects.values
        self.definition, self.module = definition, definition.module
        self.names = definition.module.names
        self.function: FunctionNode = definition.node
        self.scope = self.names.scope_of[definition.node]
        self.calls: list[_Callee] = []
        arguments = self.function.args
        plain = [*arguments.posonlyargs, *arguments.args]
        self.receiver = plain[0].arg if definition.owner is not None and plain else ""
        marks = {getattr(mark, "id", "") for mark in getattr(self.function, "decorator_list", ())}
        self.is_classmethod = "classmethod" in marks
        if "staticmethod" in marks:
            self.receiver = ""

    def effects(self) -> Iterator[Effect]:
        for node in sorted(own_nodes(self.function), key=_position):
            if isinstance(node, ast.Name):
                yield from self._name(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                yield from self._write(node.value, node)

    def _effect(self, kind: str, subject: str, node: ast.AST, **more: object) -> Effect:
        return Effect(kind, subject, self.module, node, **more)  # type: ignore[arg-type]  # keywords of Effect

    # -- names ------------------------------------------------------------------------------------

    def _name(self, node: ast.Name) -> Iterator[Effect]:
        home = self.names.scope_at(node).lookup(node.id)
        if home is None or self._is_own(home):
            return
        if isinstance(node.ctx, ast.Load):
            yield from self._read_outside(node, home)
        elif home.parent is None:
            kind = "lazy-write" if self._is_lazy(node) else "global-write"
            yield self._effect(kind, node.id, node)
        elif home.kind == "class":
            yield self._effect("class-write", node.id, node)
        else:
            yield self._effect("nonlocal-write", node.id, node)

    def _read_outside(self, node: ast.Name, home: Scope) -> Iterator[Effect]:
        bindings = home.bindings.get(node.id, ())
        if all(binding.kind in ("def", "class") for binding in bindings):
            return
        for value in self.values.of(node, self.module):
            if value.is_resource:
                yield self._effect("uses", node.id, node, value=value)
        owner = self.values.owner_of(node, self.module) if home.parent is not None else None
        for inner in self.values.inside(owner) if owner is not None else ():
            # The captured object travels with the function, and all that is in it.
            yield self._effect("uses", node.id + inner.path, node, value=inner)
        if home.parent is None and self._filled_at_run_time(node.id, home):
            yield self._effect("reads", node.id, node)

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

    def _is_own(self, home: Scope) -> bool:
        """Whether a variable lives in this function (comprehensions and lambdas in it too)."""
        scope: Scope | None = home
        while scope is not None:
            if scope is self.scope:
                return True
            scope = scope.parent
        return False

    def _is_lazy(self, node: ast.Name) -> bool:
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

    # -- attributes and subscripts ----------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> Iterator[Effect]:
        if not isinstance(node.ctx, ast.Load):
            yield from self._write(node.value, node)
            return
        if isinstance(node.value, ast.Name) and node.value.id == self.receiver:
            self._property(node)
            if isinstance(self.names.parent.get(node), ast.Attribute | ast.Call | ast.withitem):
                for value in self.values.of(node, self.module):
                    if value.is_resource:
                        yield self._effect("uses", f"self{value.path}", node, value=value)
            return
        names = self.project.dotted(node, self.module)
        if "os.environ" in names:
            writes = isinstance(
                up := self.names.parent.get(node), ast.Subscript
            ) and not isinstance(up.ctx, ast.Load)
            if not writes:
                yield self._effect("environment-read", "os.environ", node)

    def _property(self, node: ast.Attribute) -> None:
        """Reading a property runs it."""
        callee = self.values.callee(node, self.module)
        if callee is not None and isinstance(callee.node, ast.FunctionDef):
            marks = {callee.module.text(m).rpartition(".")[2] for m in callee.node.decorator_list}
            if marks & {"property", "cached_property"}:
                self.calls.append(_Callee(node, callee, False))

    def _write(self, base: ast.expr, node: ast.AST, *, by: str = "") -> Iterator[Effect]:
        """Something in *base* changes: whose is it?"""
        if "os.environ" in self.project.dotted(base, self.module):
            yield self._effect("environment-write", "os.environ", node)
            return
        if isinstance(base, ast.Call):
            callee = base.func.id if isinstance(base.func, ast.Name) else ""
            if callee == "type":
                yield self._effect("class-write", self.module.text(base), node)
            return
        root = root_name(base)
        if root is None:
            return
        written = node if isinstance(node, ast.Attribute) else base
        subject = self.module.text(written)
        if "\n" in subject or len(subject) > 60:
            subject = root.id
        yield from self._write_root(root, base, subject, node, by, 0)

    def _write_root(
        self, root: ast.Name, base: ast.expr, subject: str, node: ast.AST, by: str, hops: int
    ) -> Iterator[Effect]:
        scope = self.names.scope_at(root)
        home = scope.lookup(root.id)
        doubt = bool(by) and not self._is_container(base)
        if home is None or hops > 4:
            return
        if any(value.kind == "thread-local" for value in self.values.of(root, self.module)):
            return
        bindings = home.bindings.get(root.id, [])
        kinds = {binding.kind for binding in bindings}
        if self._is_own(home):
            if root.id == self.receiver and kinds == {"param"}:
                yield from self._write_receiver(base, subject, node, doubt)
            elif kinds == {"param"} and home is self.scope:
                yield self._effect(
                    "argument-write", subject, node, in_doubt=doubt, parameter=root.id
                )
            elif len(bindings) == 1 and bindings[0].value is not None:
                yield from self._write_alias(
                    bindings[0].value, bindings[0].kind, subject, node, by, hops
                )
            return
        if kinds == {"class"} or (kinds == {"import"} and self._names_class(root)):
            yield self._effect("class-write", subject, node, in_doubt=doubt)
        elif home.parent is None:
            if kinds == {"import"} and doubt and not isinstance(base, ast.Name):
                return
            if kinds & {"def"} or (
                kinds == {"import"} and by and isinstance(base, ast.Name) and self._is_library(root)
            ):
                return
            kind = "lazy-write" if self._is_lazy(root) else "global-write"
            yield self._effect(kind, subject, node, in_doubt=doubt)
        else:
            owner = self._outer_receiver(root, home)
            kind = "attribute-write" if owner else "closure-write"
            yield self._effect(kind, subject, node, in_doubt=doubt)

    def _write_receiver(
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
        yield self._effect(kind, subject, node, in_doubt=doubt)

    def _is_class_level(self, attr: str, owner: ast.ClassDef) -> bool:
        """Whether the attribute is a container of the class body that no method replaces."""
        values = self.values.attributes(Definition(self.module, owner)).get(attr, [])
        body = {id(item.value) for item in owner.body if isinstance(item, ast.Assign)}
        return bool(values) and all(id(value) in body for value, _, _ in values)

    def _write_alias(
        self, value: ast.expr, kind: str, subject: str, node: ast.AST, by: str, hops: int
    ) -> Iterator[Effect]:
        """A local variable changes: if it is another name for something outside, say so."""
        if kind == "for" and isinstance(value, ast.Call):
            func = value.func
            if isinstance(func, ast.Name) and func.id in _SAME_ITEMS and value.args:
                value = value.args[0]
            elif isinstance(func, ast.Attribute) and func.attr in ("values", "items"):
                value = func.value
        if kind not in ("for", "assign"):
            return
        if isinstance(value, ast.Name | ast.Attribute | ast.Subscript):
            root = root_name(value)
            if root is not None:
                yield from self._write_root(root, value, subject, node, by, hops + 1)

    def _outer_receiver(self, root: ast.Name, home: Scope) -> bool:
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

    def _is_library(self, root: ast.Name) -> bool:
        return all(
            self.project.find(name) is None for name in self.project.dotted(root, self.module)
        )

    def _is_container(self, node: ast.expr) -> bool:
        known = self.values.of(node, self.module)
        return any(value.kind == "container" for value in known)

    # -- calls ------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Iterator[Effect]:
        for name in self.project.dotted(node.func, self.module):
            kind = CALL_EFFECTS.get(canonical(name))
            if kind is not None:
                yield self._effect(kind, f"{name.removeprefix('builtins.')}()", node)
        if isinstance(node.func, ast.Attribute):
            attr = node.func.attr
            if attr in METHOD_EFFECTS:
                yield self._effect(METHOD_EFFECTS[attr], f".{attr}()", node)
            if attr in MUTATORS:
                yield from self._write(node.func.value, node, by=attr)
            if attr in ("submit", "map", "run_in_executor") and any(
                value.kind == "executor" for value in self.values.of(node.func.value, self.module)
            ):
                yield self._effect("submits", self.module.text(node.func), node)
        elif isinstance(node.func, ast.Name) and node.func.id == "setattr" and node.args:
            yield from self._write(node.args[0], node)
        callee = self.values.callee(node.func, self.module)
        if callee is not None and not isinstance(callee.node, ast.ClassDef):
            private = self._is_private(node.func)
            root = root_name(node.func)
            given = private and root is not None and self._is_parameter(root)
            name = root.id if given and root is not None else ""
            self.calls.append(_Callee(node, callee, private, name))
        elif callee is None and isinstance(node.func, ast.Name) and self._is_parameter(node.func):
            yield self._effect("runs", node.func.id, node)

    def _is_parameter(self, name: ast.Name) -> bool:
        """Whether it is a parameter of this function, and nothing else."""
        home = self.names.scope_at(name).lookup(name.id)
        bindings = home.bindings.get(name.id, []) if home is self.scope and home else []
        return bool(bindings) and all(binding.kind == "param" for binding in bindings)

    def _is_private(self, func: ast.expr) -> bool:
        """Whether a method is called on an object that this call made or was given."""
        root = root_name(func)
        if not isinstance(func, ast.Attribute) or root is None or root.id == self.receiver:
            return isinstance(func, ast.Attribute) and root is None
        home = self.names.scope_at(root).lookup(root.id)
        return home is not None and self._is_own(home)


def _position(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _is_container(value: ast.expr | None) -> bool:
    """Whether a global starts as a list, dict or set, which somebody may fill."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return not value.args and value.func.id in ("list", "dict", "set", "defaultdict")
    return isinstance(value, ast.List | ast.Set | ast.Dict)
