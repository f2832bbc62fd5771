"""The scanned tree as modules: names followed through imports, files parsed when first needed."""

import ast
import builtins
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distexec.migrate.binder import bind
from distexec.migrate.catalog import MIRRORED
from distexec.migrate.scopes import FUNCTIONS, Binding, FunctionNode, Names
from distexec.migrate.syntax import parse
from distexec.migrate.text import Source, Unreadable

#: How many aliases and re-exports are followed; real code needs two or three.
_MAX_HOPS = 8


@dataclass(slots=True, eq=False)
class Module:
    """A parsed file."""

    path: str
    name: str
    source: Source
    #: The text that positions of the tree refer to; differs from the source for newer syntax.
    parsed: str
    tree: ast.Module
    names: Names

    def start(self, node: ast.AST) -> int:
        """Character offset where *node* begins."""
        return self.source.offset(
            _number(node, "lineno"), _number(node, "col_offset"), of=self.parsed
        )

    def end(self, node: ast.AST) -> int:
        """Character offset just behind *node*."""
        return self.source.offset(
            _number(node, "end_lineno"), _number(node, "end_col_offset"), of=self.parsed
        )

    def text(self, node: ast.AST) -> str:
        """The source of *node*."""
        return self.source.text[self.start(node) : self.end(node)]

    def imports_from(self, name: str) -> bool:
        """Whether it imports the module *name*, or something of it, anywhere."""
        return any(
            binding.kind == "import" and f"{binding.target}.".startswith(f"{name}.")
            for scope in {self.names.root, *self.names.scope_of.values()}
            for bindings in scope.bindings.values()
            for binding in bindings
        )

    def column(self, node: ast.AST) -> int:
        """Column of *node*, from 1."""
        return self.source.column_of(self.start(node))


def _number(node: ast.AST, name: str) -> int:
    value: int = getattr(node, name)
    return value


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or class of the scanned tree."""

    module: Module
    node: FunctionNode | ast.ClassDef

    @property
    def name(self) -> str:
        """Its name for people; a lambda has none."""
        return "lambda" if isinstance(self.node, ast.Lambda) else self.node.name

    @property
    def line(self) -> int:
        """Where it is defined."""
        return self.node.lineno

    @property
    def owner(self) -> ast.ClassDef | None:
        """The class whose method this is."""
        up = self.module.names.parent.get(self.node)
        return up if isinstance(up, ast.ClassDef) else None


@dataclass(slots=True)
class Project:
    """Every file of a run, by module name."""

    #: Path and module name of each file.
    modules: dict[str, str] = field(default_factory=dict)
    _by_name: dict[str, str] = field(default_factory=dict)
    _parsed: dict[str, Module | Unreadable] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[str]) -> "Project":
        """Name the modules of *paths* by the packages they lie in."""
        project = cls()
        packages: dict[str, str] = {}
        for path in paths:
            name = module_name(path, packages)
            project.modules[path] = name
            project._by_name.setdefault(name, path)
        return project

    def add(self, source: Source) -> Module:
        """Parse *source* as a module of the tree.

        Raises:
            Unreadable: It is no Python.
        """
        name = self.modules.get(source.path) or Path(source.path).stem
        tree, parsed = parse(source)
        package = name if Path(source.path).stem == "__init__" else name.rpartition(".")[0]
        try:
            declares = "global" in source.text or "nonlocal" in source.text
            names = bind(tree, package, has_declarations=declares)
        except RecursionError as error:
            raise Unreadable("cannot parse: nested too deeply") from error
        module = Module(source.path, name, source, parsed, tree, names)
        self._parsed[source.path] = module
        return module

    def forget(self, most: int) -> bool:
        """Drop the oldest parsed modules if there are more than *most*; tell whether any went."""
        old = list(self._parsed)[: max(0, len(self._parsed) - most)]
        for path in old:
            del self._parsed[path]
        return bool(old)

    def load(self, path: str) -> Module | None:
        """The module at *path*; ``None`` if it cannot be read."""
        known = self._parsed.get(path)
        if known is None:
            try:
                known = self.add(Source.decode(path, Path(path).read_bytes()))
            except Unreadable as error:
                known = self._parsed[path] = error
            except OSError as error:
                known = self._parsed[path] = Unreadable(str(error))
        return known if isinstance(known, Module) else None

    def find(self, dotted: str) -> tuple[Module, str] | None:
        """The module of the tree that *dotted* lies in, and the rest of the name."""
        head, rest = dotted, ""
        while head:
            path = self._by_name.get(head)
            if path is not None:
                module = self.load(path)
                return (module, rest) if module is not None else None
            head, _, last = head.rpartition(".")
            rest = f"{last}.{rest}" if rest else last
        return None

    # -- what an expression names ---------------------------------------------------------------

    def dotted(self, node: ast.AST, module: Module, hops: int = 0) -> frozenset[str]:
        """Absolute names that *node* may stand for: ``threading.Lock``, ``builtins.open``."""
        if hops > _MAX_HOPS:
            return frozenset()
        if isinstance(node, ast.Attribute):
            return frozenset(
                f"{base}.{node.attr}" for base in self.dotted(node.value, module, hops)
            )
        if not isinstance(node, ast.Name):
            return frozenset()
        scope = module.names.scope_at(node)
        found: set[str] = set()
        bindings = module.names.bindings_of(node.id, scope)
        if not bindings and scope.lookup(node.id) is None:
            return frozenset(self._unbound(node.id, module))
        for binding in bindings:
            found |= self._binding_names(binding, module, hops)
        return frozenset(found)

    def _unbound(self, name: str, module: Module) -> Iterator[str]:
        if hasattr(builtins, name):
            yield f"builtins.{name}"
        for star in module.names.star_imports:
            known = star.module == "concurrent.futures" and name not in MIRRORED
            if star.module and not star.level and not known:
                yield f"{star.module}.{name}"

    def _binding_names(self, binding: Binding, module: Module, hops: int) -> frozenset[str]:
        if binding.kind == "import":
            return self.through_tree(binding.target, hops)
        if binding.kind in ("def", "class") and binding.scope is module.names.root:
            return frozenset({f"{module.name}.{binding.name}"})
        if binding.kind == "assign" and not binding.partial:
            names: frozenset[str] = frozenset()
            for value in alternatives(binding.value):
                if isinstance(value, ast.Name | ast.Attribute):
                    names |= self.dotted(value, module, hops + 1)
            return names
        return frozenset()

    def through_tree(self, dotted: str, hops: int = 0) -> frozenset[str]:
        """Follow re-exports: ``app.compat.Pool`` may be the standard ThreadPoolExecutor."""
        place = self.find(dotted) if "." in dotted and hops <= _MAX_HOPS else None
        if place is None or not place[1] or "." in place[1]:
            return frozenset({dotted})
        module, rest = place
        bindings = module.names.root.bindings.get(rest, [])
        found: set[str] = set()
        for binding in bindings:
            if binding.kind in ("import", "assign"):
                found |= self._binding_names(binding, module, hops + 1)
        return frozenset(found) or frozenset({dotted})

    def definition(self, node: ast.AST | None, module: Module, hops: int = 0) -> Definition | None:
        """The one function or class of the tree that *node* names; ``None`` if unsure."""
        if node is None or hops > _MAX_HOPS:
            return None
        if isinstance(node, ast.Lambda):
            return Definition(module, node)
        if isinstance(node, ast.Name):
            scope = module.names.scope_at(node)
            return self._defined(module.names.bindings_of(node.id, scope), module, hops)
        if isinstance(node, ast.Attribute):
            for name in self.dotted(node, module):
                place = self.find(name)
                if place is not None and place[1]:
                    return self.member(place[0], place[1], hops)
            owner = self.definition(node.value, module, hops + 1)
            if owner is not None and isinstance(owner.node, ast.ClassDef):
                return self.method(owner, node.attr)
        return None

    def _defined(self, bindings: list[Binding], module: Module, hops: int) -> Definition | None:
        solid = [b for b in bindings if b.kind not in ("del", "augment")]
        found: list[Definition] = []
        for binding in solid:
            if isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.append(Definition(module, binding.node))
            elif binding.kind == "import":
                place = self.find(binding.target)
                if place is not None and place[1]:
                    inner = self.member(place[0], place[1], hops + 1)
                    if inner is not None:
                        found.append(inner)
            elif binding.kind == "assign" and isinstance(binding.value, ast.Lambda | ast.Name):
                inner = self.definition(binding.value, module, hops + 1)
                if inner is not None:
                    found.append(inner)
        # Defined twice, the last one usually counts; bound otherwise too, we do not know.
        return found[-1] if found and len(found) == len(solid) else None

    def member(self, module: Module, dotted: str, hops: int = 0) -> Definition | None:
        """``function``, ``Class`` or ``Class.method`` of *module*."""
        head, _, rest = dotted.partition(".")
        if hops > _MAX_HOPS:
            return None
        found = self._defined(module.names.root.bindings.get(head, []), module, hops)
        if found is None or not rest:
            return found
        return self.method(found, rest) if isinstance(found.node, ast.ClassDef) else None

    def bases(self, definition: Definition, depth: int = 0) -> Iterator[Definition]:
        """The classes of the tree that *definition* inherits from, itself first."""
        yield definition
        if depth < _MAX_HOPS and isinstance(definition.node, ast.ClassDef):
            for base in definition.node.bases:
                found = self.definition(base, definition.module)
                if found is not None and found.node is not definition.node:
                    yield from self.bases(found, depth + 1)

    def method(self, owner: Definition, name: str) -> Definition | None:
        """A method, looked up along the bases in the tree."""
        for base in self.bases(owner):
            if isinstance(base.node, ast.ClassDef):
                scope = base.module.names.scope_of.get(base.node)
                for binding in reversed(scope.bindings.get(name, []) if scope else []):
                    if isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef):
                        return Definition(base.module, binding.node)
        return None


def alternatives(node: ast.expr | None) -> Iterator[ast.expr]:
    """The values an expression may have: branches of ``a if c else b`` and ``a or b``."""
    if isinstance(node, ast.IfExp):
        yield from alternatives(node.body)
        yield from alternatives(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from alternatives(value)
    elif isinstance(node, ast.NamedExpr | ast.Await):
        yield from alternatives(node.value)
    elif node is not None:
        yield node


def root_name(node: ast.AST) -> ast.Name | None:
    """The variable at the bottom of ``name.a[b].c``."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """Nodes that run when *function* runs: nested functions and classes are left out."""
    body = [function.body] if isinstance(function, ast.Lambda) else function.body
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            pending += ast.iter_child_nodes(node)


def module_name(path: str, packages: dict[str, str]) -> str:
    """Dotted name of a file, by the ``__init__.py`` files above it."""
    folder, file = os.path.split(path)
    stem = file[:-3] if file.endswith(".py") else file
    package = _package(folder, packages)
    if stem == "__init__":
        return package or os.path.basename(folder)
    return f"{package}.{stem}" if package else stem


def _package(folder: str, packages: dict[str, str]) -> str:
    known = packages.get(folder)
    if known is None:
        if folder and os.path.exists(os.path.join(folder, "__init__.py")):
            above, name = os.path.split(os.path.abspath(folder))
            outer = _package(above, packages)
            known = f"{outer}.{name}" if outer else name
        else:
            known = ""
        packages[folder] = known
    return known
