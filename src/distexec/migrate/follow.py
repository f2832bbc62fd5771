"""Follow one pool from the call that makes it to everything that is done with it."""

import ast

from distexec.migrate.catalog import SERVERS, SUBMITTING
from distexec.migrate.life import Life, Submission, Use
from distexec.migrate.pools import Site
from distexec.migrate.project import Definition, Module, Project
from distexec.migrate.scopes import FunctionNode, Scope

#: Calls that hand back, or hold, the pool they are given.
_TRANSPARENT = frozenset(
    {"enter_context", "closing", "nullcontext", "cast", "push", "enter_async_context"}
)
_NEUTRAL_PARENTS = (
    ast.Compare,
    ast.UnaryOp,
    ast.Expr,
    ast.If,
    ast.While,
    ast.Assert,
    ast.FormattedValue,
)
_MAX_DEPTH = 6


class Follower:
    """Walks from an expression to its uses, through names, attributes, factories and parameters."""

    def __init__(self, project: Project, consumers: dict[str, list[str]] | None = None) -> None:
        self.project = project
        #: Paths of other modules that mention an exported name.
        self.consumers = consumers or {}
        self._life = Life()
        self._seen: set[ast.AST] = set()

    def life_of(self, site: Site) -> Life:
        """Follow the pool that *site* makes."""
        self._life, self._seen = Life(), set()
        self._value(site.call, site.module, 0)
        return self._life

    def _note(self, kind: str, node: ast.AST, module: Module, detail: str = "") -> None:
        self._life.uses.append(Use(kind, node, module, detail))

    def _value(self, node: ast.AST, module: Module, depth: int) -> None:
        """*node* evaluates to the pool: see what its parent does with it."""
        if node in self._seen or depth > _MAX_DEPTH:
            return
        self._seen.add(node)
        up = module.names.parent.get(node)
        if isinstance(up, ast.IfExp | ast.BoolOp | ast.Await | ast.Starred):
            if not (isinstance(up, ast.IfExp) and up.test is node):
                self._value(up, module, depth)
        elif isinstance(up, ast.NamedExpr):
            self._target(up.target, module, depth)
            self._value(up, module, depth)
        elif isinstance(up, ast.withitem):
            if up.optional_vars is not None:
                self._target(up.optional_vars, module, depth)
        elif isinstance(up, ast.Assign):
            for target in up.targets:
                self._target(target, module, depth)
        elif isinstance(up, ast.AnnAssign):
            self._target(up.target, module, depth)
        elif isinstance(up, ast.Tuple) and isinstance(
            assign := module.names.parent.get(up), ast.Assign
        ):
            self._paired(up, node, assign, module, depth)
        elif isinstance(up, ast.Return | ast.Yield | ast.Lambda):
            self._factory(node, module, depth)
        elif isinstance(up, ast.Attribute):
            self._attribute_use(up, module)
        elif isinstance(up, ast.Call):
            self._argument(node, up, None, module, depth)
        elif isinstance(up, ast.keyword):
            call = module.names.parent[up]
            if isinstance(call, ast.Call):
                self._argument(node, call, up.arg, module, depth)
        elif not isinstance(up, _NEUTRAL_PARENTS):
            self._note("escape", node, module, _describe(up))

    def _paired(
        self, up: ast.Tuple, node: ast.AST, assign: ast.Assign, module: Module, depth: int
    ) -> None:
        target = assign.targets[0]
        if isinstance(target, ast.Tuple) and len(target.elts) == len(up.elts):
            position = next(index for index, value in enumerate(up.elts) if value is node)
            self._target(target.elts[position], module, depth)
        else:
            self._note("escape", node, module, "a tuple")

    def _target(self, target: ast.AST, module: Module, depth: int) -> None:
        if isinstance(target, ast.Name):
            scope = module.names.scope_at(target)
            home = scope.lookup(target.id) or scope
            self._variable(target.id, home, module, depth, target)
        elif isinstance(target, ast.Attribute):
            owner = module.names.enclosing_class(target)
            self._life.is_kept = True
            self._held(target.attr, owner, module, depth)
        else:
            self._life.is_kept = True
            self._note("escape", target, module, "a container")

    def _variable(
        self, name: str, home: Scope, module: Module, depth: int, target: ast.Name | None = None
    ) -> None:
        """The pool is the variable *name*, by way of *target*."""
        self._life.variables.add((name, home))
        around = {target, *module.names.ancestors(target)} if target is not None else set()
        if home.kind == "class" and isinstance(home.node, ast.ClassDef):
            self._life.is_kept = True
            self._held(name, home.node, module, depth)
        for use in module.names.names_of(name, home):
            reached = target is None or any(b.node in around for b in module.names.reaching(use))
            if reached and isinstance(use.ctx, ast.Load):
                self._value(use, module, depth)
        in_with = target is not None and isinstance(module.names.parent.get(target), ast.withitem)
        if home.parent is None and not in_with:
            self._life.is_kept = True
            self._life.exported.add(name)
            self._elsewhere(name, module, depth)

    def _elsewhere(self, name: str, module: Module, depth: int) -> None:
        """Uses of the global *name* in modules that import it."""
        for path in self.consumers.get(name, ()):
            other = self.project.load(path) if path != module.path else None
            if other is None:
                continue
            wanted = f"{module.name}.{name}"
            for scope in {other.names.root, *other.names.scope_of.values()}:
                for local, bindings in scope.bindings.items():
                    if any(b.kind == "import" and b.target == wanted for b in bindings):
                        for use in other.names.names_of(local, scope):
                            self._value(use, other, depth + 1)
            for node in other.names.attributes.get(name, ()):
                if wanted in self.project.dotted(node, other):
                    self._value(node, other, depth + 1)

    def _held(self, attr: str, owner: ast.ClassDef | None, module: Module, depth: int) -> None:
        """The pool is ``self.attr``: look at each such attribute, save other classes' own."""
        self._life.attributes.add((attr, owner))
        family = self._family(owner, module)
        for node in module.names.attributes.get(attr, ()):
            if not isinstance(node.ctx, ast.Load):
                continue
            inside = module.names.enclosing_class(node)
            on_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if on_self and inside is not None and owner is not None and inside not in family:
                continue
            self._value(node, module, depth)
        if owner is not None:
            self._life.exported.add(attr)
            self._held_elsewhere(attr, Definition(module, owner), depth)

    def _held_elsewhere(self, attr: str, owner: Definition, depth: int) -> None:
        """``x.attr`` in modules that import from its module: subclasses, and holders of one."""
        home = owner.module
        for path in self.consumers.get(attr, ()):
            other = self.project.load(path) if path != home.path else None
            if other is None or not other.imports_from(home.name):
                continue
            for node in other.names.attributes.get(attr, ()):
                inside = other.names.enclosing_class(node)
                on_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                if on_self and inside is not None:
                    bases = self.project.bases(Definition(other, inside))
                    if owner.node not in {base.node for base in bases}:
                        continue
                if isinstance(node.ctx, ast.Load):
                    self._value(node, other, depth + 1)

    def _family(self, owner: ast.ClassDef | None, module: Module) -> set[ast.ClassDef]:
        """*owner*, the classes of the module that inherit from it, and those it inherits from."""
        if owner is None:
            return set()
        family = {
            base.node
            for base in self.project.bases(Definition(module, owner))
            if isinstance(base.node, ast.ClassDef)
        }
        for other in module.names.classes:
            bases = {base.node for base in self.project.bases(Definition(module, other))}
            if owner in bases:
                family.add(other)
        return family

    def _factory(self, node: ast.AST, module: Module, depth: int) -> None:
        """The pool is what a function returns or yields: go on at its calls."""
        function = module.names.enclosing_function(node)
        self._life.is_kept = True
        if function is None or isinstance(function, ast.Lambda):
            self._note("escape", node, module, "the result of a lambda")
            return
        owner = module.names.parent.get(function)
        marks = {
            module.text(mark).rpartition(".")[2].partition("(")[0]
            for mark in function.decorator_list
        }
        if isinstance(owner, ast.ClassDef):
            for use in module.names.attributes.get(function.name, ()):
                up = module.names.parent.get(use)
                if marks & {"property", "cached_property"}:
                    self._value(use, module, depth + 1)
                elif isinstance(up, ast.Call) and up.func is use:
                    self._value(up, module, depth + 1)
            return
        if "fixture" in marks:
            for uses in module.names.scope_of.values():
                for binding in uses.bindings.get(function.name, ()):
                    if binding.kind == "param":
                        self._variable(function.name, uses, module, depth + 1)
        home = module.names.scope_at(function)
        self._calls(function, module, home, depth)

    def _calls(self, function: FunctionNode, module: Module, home: Scope, depth: int) -> None:
        name = getattr(function, "name", "")
        for use in module.names.names_of(name, home):
            self._called(use, module, depth)
        if home.parent is None:
            self._life.exported.add(name)
            for path in self.consumers.get(name, ()):
                other = self.project.load(path) if path != module.path else None
                if other is None:
                    continue
                candidates = [
                    *other.names.uses.get(name, ()),
                    *other.names.attributes.get(name, ()),
                ]
                for node in candidates:
                    found = self.project.definition(node, other)
                    if found is not None and found.node is function:
                        self._called(node, other, depth)

    def _called(self, use: ast.AST, module: Module, depth: int) -> None:
        up = module.names.parent.get(use)
        if isinstance(up, ast.Call) and up.func is use:
            self._value(up, module, depth + 1)

    def _attribute_use(self, node: ast.Attribute, module: Module) -> None:
        up = module.names.parent.get(node)
        attr = node.attr
        is_called = isinstance(up, ast.Call) and up.func is node
        if attr.startswith("_") and not attr.startswith("__"):
            self._note("private", node, module, attr)
        elif not is_called:
            if attr in SUBMITTING:
                self._note("bound", node, module, attr)
            elif not attr.startswith("__") and attr != "shutdown":
                self._note("attribute", node, module, attr)
        elif isinstance(up, ast.Call):
            if attr in SUBMITTING:
                self._submission(up, attr, module)
            elif attr in ("shutdown", "close", "join", "terminate"):
                self._note("shutdown", up, module, attr)
            elif not attr.startswith("__"):
                self._note("method", up, module, attr)

    def _submission(self, call: ast.Call, attr: str, module: Module) -> None:
        arguments = [argument for argument in call.args if not isinstance(argument, ast.Starred)]
        function: ast.expr | None = call.args[0] if call.args else None
        for keyword in call.keywords:
            if keyword.arg in ("fn", "func") and function is None:
                function = keyword.value
        if function is None or isinstance(function, ast.Starred):
            self._note("opaque", call, module, attr)
            return
        how = "submit" if attr in ("submit", "apply", "apply_async") else "map"
        rest = [a for a in arguments if a is not function]
        if attr in ("apply", "apply_async") and rest and isinstance(rest[0], ast.Tuple):
            rest = [*rest[0].elts]
        if how == "submit":
            rest += [k.value for k in call.keywords if k.value is not function]
        self._life.submissions.append(Submission(how, call, module, function, tuple(rest), attr))

    def _argument(
        self, node: ast.AST, call: ast.Call, keyword: str | None, module: Module, depth: int
    ) -> None:
        """The pool is handed to a call."""
        names = self.project.dotted(call.func, module)
        callee = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        if call.func is node:
            return
        if callee in ("submit", "map") and isinstance(call.func, ast.Attribute):
            # Among the arguments of a call it is a hazard of that call, not a way out.
            if any(value is call for value in (s.call for s in self._life.submissions)):
                return
            self._life.uses.append(Use("argument", call, module, callee))
            return
        if callee == "run_in_executor":
            if len(call.args) > 1 and call.args[0] is node:
                self._life.submissions.append(
                    Submission("run", call, module, call.args[1], tuple(call.args[2:]), callee)
                )
            return
        if callee == "set_default_executor":
            self._note("default-executor", call, module, callee)
        elif names & SERVERS or (callee == "server" and "grpc" in module.source.text):
            self._note("server", call, module, next(iter(names), callee))
        elif callee in _TRANSPARENT:
            self._value(call, module, depth)
        elif callee in ("isinstance", "type", "id", "repr", "str", "print", "hasattr", "bool"):
            if callee == "isinstance":
                self._note("typetest", call, module)
        elif callee in ("getattr", "setattr"):
            self._note("getattr", call, module)
        elif not self._into_function(node, call, keyword, module, depth):
            self._note("escape", call, module, f"{module.text(call.func)}()")

    def _into_function(
        self, node: ast.AST, call: ast.Call, keyword: str | None, module: Module, depth: int
    ) -> bool:
        """Go on at the parameter of a function or ``__init__`` of the tree."""
        found = self.project.definition(call.func, module)
        if found is not None and isinstance(found.node, ast.ClassDef):
            found = self.project.method(found, "__init__")
        if found is None or isinstance(found.node, (ast.ClassDef, ast.Lambda)):
            return False
        arguments = [*found.node.args.posonlyargs, *found.node.args.args]
        if found.owner is not None and arguments:
            arguments = arguments[1:]
        name = keyword
        if name is None:
            position = next(
                (i for i, value in enumerate(call.args) if value is node), len(arguments)
            )
            if position >= len(arguments) or any(isinstance(a, ast.Starred) for a in call.args):
                return False
            name = arguments[position].arg
        elif name not in {arg.arg for arg in [*arguments, *found.node.args.kwonlyargs]}:
            return False
        scope = found.module.names.scope_of.get(found.node)
        if scope is None:
            return False
        self._variable(name, scope, found.module, depth + 1)
        return True


def _describe(node: ast.AST | None) -> str:
    if isinstance(node, ast.Dict):
        return "a dict"
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return "a container"
    return "an expression that is not followed"
