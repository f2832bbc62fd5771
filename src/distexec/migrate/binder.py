"""The walk over a module that finds which statement binds what, and in which scope."""

import ast

from distexec.migrate.scopes import Binding, FunctionNode, Names, Scope


def bind(tree: ast.Module, package: str = "", *, has_declarations: bool = True) -> Names:
    """Find all names of *tree*.

    Args:
        package: Dotted name of the package that relative imports start from.
        has_declarations: Whether a ``global`` or ``nonlocal`` may occur; looking for them takes a
            while.
    """
    names = Names(tree)
    _Binder(names, package, has_declarations).generic_visit(tree)
    return names


class _Binder:
    """Visits each node once; like `ast.NodeVisitor`, but it notes parents, and is faster."""

    def __init__(self, names: Names, package: str, has_declarations: bool) -> None:
        self.names = names
        self._package, self._has_declarations = package, has_declarations
        self._scope = names.root
        self._parent = names.parent

    def generic_visit(self, node: ast.AST) -> None:
        for name in node._fields:
            value = getattr(node, name, None)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, ast.AST):
                        self._parent[item] = node
                        self.visit(item)
            elif isinstance(value, ast.AST) and value.__class__ is not ast.Load:
                self._parent[value] = node
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
        self.names.uses.setdefault(node.id, []).append(node)
        self.names.used_in[node] = self._scope

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.names.attributes.setdefault(node.attr, []).append(node)
        self._parent[node.value] = node
        self.visit(node.value)

    def visit_Global(self, node: ast.Global) -> None:
        self._scope.global_names.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._scope.nonlocal_names.update(node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._parent[alias] = node
            name = alias.asname or alias.name.partition(".")[0]
            self._bind(name, "import", alias, target=alias.name if alias.asname else name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parts = self._package.split(".") if self._package else []
            parts = parts[: max(0, len(parts) - node.level + 1)]
            base = ".".join([*parts, base] if base else parts)
        for alias in node.names:
            self._parent[alias] = node
            if alias.name == "*":
                self.names.star_imports.append(node)
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
        self.names.classes.append(node)
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
        self._parent[arguments] = node
        for default in [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]:
            self._parent[default] = arguments
            self.visit(default)
        outer, self._scope = self._scope, Scope("function", node, self._scope)
        self.names.scope_of[node] = self._scope
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
            self._parent[arg] = arguments
            if arg.annotation is not None:
                inner, self._scope = self._scope, outer
                self._parent[arg.annotation] = arg
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
        self.names.scope_of[node] = self._scope
        self._visit_in(node, body)
        self._scope = outer

    def _visit_in(
        self, parent: ast.AST, nodes: list[ast.stmt] | list[ast.expr] | list[ast.AST]
    ) -> None:
        for node in nodes:
            self._parent[node] = parent
            self.visit(node)

    def _comprehension(self, node: ast.AST) -> None:
        outer, self._scope = self._scope, Scope("comprehension", node, self._scope)
        self.names.scope_of[node] = self._scope
        self.generic_visit(node)
        self._scope = outer

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension
