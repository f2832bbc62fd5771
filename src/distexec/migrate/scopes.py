"""One module's names: which scope binds what, by which statement, and where it is used."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


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


class Names(ast.NodeVisitor):
    """All scopes of a tree, built in one walk."""

    def __init__(
        self, tree: ast.Module, package: str = "", *, has_declarations: bool = True
    ) -> None:
        #: Dotted name of the package that relative imports start from.
        self.package = package
        #: Whether a ``global`` or ``nonlocal`` may occur; looking for them takes a while.
        self._has_declarations = has_declarations
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
        self._scope = self.root
        self.generic_visit(tree)

    # -- queries ------------------------------------------------------------------------------

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

    # -- the walk -----------------------------------------------------------------------------

    def generic_visit(self, node: ast.AST) -> None:
        for name in node._fields:
            value = getattr(node, name, None)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, ast.AST):
                        self.parent[item] = node
                        self.visit(item)
            elif isinstance(value, ast.AST) and value.__class__ is not ast.Load:
                self.parent[value] = node
                self.visit(value)

    def visit(self, node: ast.AST) -> None:
        handler = getattr(self, "visit_" + node.__class__.__name__, None)
        if handler is None:
            self.generic_visit(node)
        else:
            handler(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Leaves, and many."""

    def _bind(
        self,
        name: str,
        kind: str,
        node: ast.AST,
        value: ast.expr | None = None,
        *,
        target: str = "",
        partial: bool = False,
        scope: Scope | None = None,
    ) -> None:
        scope = scope or self._scope
        home = scope
        if name in scope.global_names:
            home = scope.module
        elif name in scope.nonlocal_names and scope.parent is not None:
            home = scope.parent.lookup(name) or scope
        binding = Binding(name, kind, node, scope, value, target, partial)
        home.bindings.setdefault(name, []).append(binding)

    def _bind_target(
        self, target: ast.AST, kind: str, node: ast.AST, value: ast.expr | None, part: bool = False
    ) -> None:
        if isinstance(target, ast.Name):
            scope = self._scope
            if kind == "walrus":
                kind = "assign"
                while scope.kind == "comprehension" and scope.parent is not None:
                    scope = scope.parent
            self._bind(target.id, kind, node, value, partial=part, scope=scope)
        elif isinstance(target, ast.Tuple | ast.List):
            values: list[ast.expr] | None = None
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                values = value.elts
            for index, element in enumerate(target.elts):
                inner = values[index] if values is not None and kind == "assign" else value
                self._bind_target(element, kind, node, inner, part or inner is value)
        elif isinstance(target, ast.Starred):
            self._bind_target(target.value, kind, node, value, True)

    def visit_Name(self, node: ast.Name) -> None:
        self.uses.setdefault(node.id, []).append(node)
        self.used_in[node] = self._scope

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.attributes.setdefault(node.attr, []).append(node)
        self.parent[node.value] = node
        self.visit(node.value)

    def visit_Global(self, node: ast.Global) -> None:
        self._scope.global_names.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._scope.nonlocal_names.update(node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.parent[alias] = node
            name = alias.asname or alias.name.partition(".")[0]
            self._bind(name, "import", alias, target=alias.name if alias.asname else name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parts = self.package.split(".") if self.package else []
            parts = parts[: max(0, len(parts) - node.level + 1)]
            base = ".".join([*parts, base] if base else parts)
        for alias in node.names:
            self.parent[alias] = node
            if alias.name == "*":
                self.star_imports.append(node)
            else:
                target = f"{base}.{alias.name}" if base else alias.name
                self._bind(alias.asname or alias.name, "import", alias, target=target)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._bind_target(target, "assign", node, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._bind(node.target.id, "assign", node, node.value)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._bind_target(node.target, "augment", node, None)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._bind_target(node.target, "walrus", node, node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._bind_target(node.target, "for", node, node.iter)
        self.generic_visit(node)

    visit_AsyncFor = visit_For

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind_target(node.target, "for", node, node.iter)
        self.generic_visit(node)

    def visit_withitem(self, node: ast.withitem) -> None:
        if node.optional_vars is not None:
            self._bind_target(node.optional_vars, "with", node, node.context_expr)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._bind(node.name, "except", node)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(target.id, "del", node)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self._bind(node.name, "match", node)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._bind(node.name, "match", node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self._bind(node.rest, "match", node)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name, "class", node)
        self.classes.append(node)
        self._visit_in(node, [*node.decorator_list, *node.bases, *node.keywords])
        self._open("class", node, node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name, "def", node)
        self._visit_in(node, node.decorator_list)
        if node.returns is not None:
            self._visit_in(node, [node.returns])
        self._function(node, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def _function(self, node: FunctionNode, body: list[ast.stmt] | list[ast.expr]) -> None:
        arguments = node.args
        self.parent[arguments] = node
        for default in [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]:
            self.parent[default] = arguments
            self.visit(default)
        outer, self._scope = self._scope, Scope("function", node, self._scope)
        self.scope_of[node] = self._scope
        plain = [*arguments.posonlyargs, *arguments.args]
        pairs: list[tuple[ast.arg, ast.expr | None]] = list(
            zip(
                plain,
                [None] * (len(plain) - len(arguments.defaults)) + [*arguments.defaults],
                strict=True,
            )
        )
        pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        pairs += [(arg, None) for arg in (arguments.vararg, arguments.kwarg) if arg is not None]
        for arg, value in pairs:
            self._bind(arg.arg, "param", arg, value)
            self.parent[arg] = arguments
            if arg.annotation is not None:
                inner, self._scope = self._scope, outer
                self.parent[arg.annotation] = arg
                self.visit(arg.annotation)
                self._scope = inner
        if self._has_declarations:
            self._declare(body)
        self._visit_in(node, body)
        self._scope = outer

    def _declare(self, body: list[ast.stmt] | list[ast.expr]) -> None:
        # ``global`` counts for the whole function, also for names bound further up in it.
        pending: list[ast.AST] = list(body)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Global):
                self._scope.global_names.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                self._scope.nonlocal_names.update(node.names)
            elif isinstance(node, ast.stmt) and not isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            ):
                pending += ast.iter_child_nodes(node)
            elif isinstance(node, ast.ExceptHandler | ast.match_case):
                pending += node.body

    def _open(self, kind: str, node: ast.AST, body: list[ast.stmt]) -> None:
        outer, self._scope = self._scope, Scope(kind, node, self._scope)
        self.scope_of[node] = self._scope
        self._visit_in(node, body)
        self._scope = outer

    def _visit_in(
        self, parent: ast.AST, nodes: list[ast.stmt] | list[ast.expr] | list[ast.AST]
    ) -> None:
        for node in nodes:
            self.parent[node] = parent
            self.visit(node)

    def _comprehension(self, node: ast.AST) -> None:
        outer, self._scope = self._scope, Scope("comprehension", node, self._scope)
        self.scope_of[node] = self._scope
        self.generic_visit(node)
        self._scope = outer

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


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
