"""One module's names: which scope binds what, by which statement, and where it is used."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(slots=True, eq=False)
class Binding:
    """One statement that gives a name its meaning."""

    name: str
    #: import, def, class, assign, augment, param, for, with, except, del
    kind: str
    node: ast.AST
    scope: "Scope"
    #: The expression bound (for ``for``: the iterable, for ``param``: the default), if any.
    value: ast.expr | None = None
    #: Absolute dotted name that an import binds.
    target: str = ""
    #: The value is unpacked, so the name holds a part of it.
    partial: bool = False


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class, function or comprehension."""

    kind: str
    node: ast.AST
    parent: "Scope | None"
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)

    @property
    def function(self) -> "Scope | None":
        """The innermost function around, comprehensions skipped."""
        scope: Scope | None = self
        while scope is not None and scope.kind == "comprehension":
            scope = scope.parent
        return scope if scope is not None and scope.kind == "function" else None

    def lookup(self, name: str) -> "Scope | None":
        """The scope whose *name* is meant here, by Python's rules; ``None`` for builtins."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.global_names:
                return scope.module
            if (
                name in scope.bindings
                and name not in scope.nonlocal_names
                and (scope.kind != "class" or scope is self)
            ):
                return scope
            scope = scope.parent
        return None

    @property
    def module(self) -> "Scope":
        """The outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


class Names:
    """All scopes of a module; `binder` makes it in one walk over the tree."""

    def __init__(self, tree: ast.Module) -> None:
        self.root = Scope("module", tree, None)
        #: The scope that a function, class or comprehension opens.
        self.scope_of: dict[ast.AST, Scope] = {tree: self.root}
        #: The scope that a name is used in.
        self.used_in: dict[ast.Name, Scope] = {}
        self.parent: dict[ast.AST, ast.AST] = {}
        #: Every ``Name`` node, by identifier.
        self.uses: dict[str, list[ast.Name]] = {}
        #: Every ``Attribute`` node, by attribute.
        self.attributes: dict[str, list[ast.Attribute]] = {}
        self.classes: list[ast.ClassDef] = []
        self.star_imports: list[ast.ImportFrom] = []

    def scope_at(self, node: ast.AST) -> Scope:
        """The scope that *node* is evaluated in."""
        if isinstance(node, ast.Name) and node in self.used_in:
            return self.used_in[node]
        child, up = node, self.parent.get(node)
        while up is not None:
            if up in self.scope_of and not _outside(up, child):
                return self.scope_of[up]
            child, up = up, self.parent.get(up)
        return self.root

    def bindings_of(self, name: str, scope: Scope) -> list[Binding]:
        """Everything that *name* may be bound to, seen from *scope*."""
        home = scope.lookup(name)
        return home.bindings.get(name, []) if home is not None else []

    def reaching(self, use: ast.Name) -> list[Binding]:
        """The bindings whose value *use* may see; a later or more inner one hides the others.

        Control flow is followed by blocks, which is what people do when they read.
        """
        scope = self.used_in[use]
        bindings = self.bindings_of(use.id, scope)
        if len(bindings) < 2 or scope.lookup(use.id) is not _plain(scope):
            return bindings
        around = [use, *self.ancestors(use)]
        position = (use.lineno, use.col_offset)
        best: Binding | None = None
        for binding in bindings:
            if binding.kind == "with":
                holder: ast.AST = self.parent[binding.node]
                if holder in around and binding.node not in around and _after(holder, best):
                    best = binding
        if best is not None:
            return [best]
        for binding in bindings:
            node: ast.AST = binding.node
            if binding.kind not in ("assign", "with") or node in around:
                continue
            statement = self.statement(node) if binding.kind == "assign" else self.parent[node]
            where = (getattr(statement, "lineno", 0), getattr(statement, "col_offset", 0))
            if (
                where < position
                and self.parent.get(statement) in around
                and _after(statement, best)
            ):
                best = binding
        if best is None:
            return bindings
        first = getattr(best.node, "lineno", getattr(best.value, "lineno", 0))
        # Bindings in branches between the two may hide it, or not.
        between = [
            b
            for b in bindings
            if b is not best and first < _line(b) <= use.lineno and b.node not in around
        ]
        loops = [up for up in around if isinstance(up, ast.For | ast.While | ast.AsyncFor)]
        again = [
            b
            for b in bindings
            if b is not best and _line(b) > use.lineno and any(_holds(up, b) for up in loops)
        ]
        return [best, *between, *again]

    def names_of(self, name: str, home: Scope) -> Iterator[ast.Name]:
        """Uses of the variable *name* of scope *home*."""
        for use in self.uses.get(name, ()):
            if self.used_in[use].lookup(name) is home:
                yield use

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Parents of *node*, innermost first."""
        up = self.parent.get(node)
        while up is not None:
            yield up
            up = self.parent.get(up)

    def statement(self, node: ast.AST) -> ast.stmt:
        """The innermost statement around *node*."""
        while not isinstance(node, ast.stmt):
            node = self.parent[node]
        return node

    def enclosing_function(self, node: ast.AST) -> FunctionNode | None:
        """The innermost function around *node*, itself excluded."""
        for up in self.ancestors(node):
            if isinstance(up, FUNCTIONS):
                return up
        return None

    def enclosing_class(self, node: ast.AST) -> ast.ClassDef | None:
        """The innermost class whose method contains *node*, or whose body it is in."""
        for up in self.ancestors(node):
            if isinstance(up, ast.ClassDef):
                return up
        return None


def _plain(scope: Scope) -> Scope:
    """The scope around comprehensions."""
    while scope.kind == "comprehension" and scope.parent is not None:
        scope = scope.parent
    return scope


def _line(binding: Binding) -> int:
    line: int = getattr(binding.node, "lineno", getattr(binding.value, "lineno", 0))
    return line


def _after(node: ast.AST, best: Binding | None) -> bool:
    return best is None or getattr(node, "lineno", 0) >= _line(best)


def _holds(loop: ast.AST, binding: Binding) -> bool:
    first, last = getattr(loop, "lineno", 0), getattr(loop, "end_lineno", 0)
    return first <= _line(binding) <= last


def _outside(owner: ast.AST, child: ast.AST) -> bool:
    """Whether *child* of *owner* is evaluated around it: decorators, bases, arguments."""
    if isinstance(owner, ast.ClassDef):
        return child in owner.decorator_list or child in owner.bases or child in owner.keywords
    if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
        return child in owner.decorator_list or child is owner.returns or child is owner.args
    if isinstance(owner, ast.Lambda):
        return child is owner.args
    return False
