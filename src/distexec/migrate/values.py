"""What kind of thing an expression holds: a lock, a connection, an object that contains one."""

import ast
from dataclasses import dataclass, replace

from distexec.migrate.attributes import Attributes, assigned_attributes
from distexec.migrate.catalog import (
    ANNOTATIONS,
    CONTAINERS,
    KINDS,
    PLAIN_PACKAGES,
    RESOURCES,
    SUSPECT_NAMES,
    canonical,
)
from distexec.migrate.project import Definition, Module, Project, alternatives, own_nodes
from distexec.migrate.scopes import Binding

_MAX_DEPTH = 5
_LITERALS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression evaluates to, as far as we can tell."""

    #: A kind of :data:`catalog.RESOURCES`, or container, instance, class, data, unknown.
    kind: str
    #: What made it, for people: ``threading.Lock()``.
    label: str
    module: Module
    line: int
    #: Path from the expression to the culprit: ``.client._lock``.
    path: str = ""
    #: The class, for an instance of one in the tree.
    definition: Definition | None = None
    #: Only its name or annotation says so.
    guessed: bool = False

    @property
    def is_resource(self) -> bool:
        """Whether pickling refuses it, or would sever it from what it stands for."""
        return self.kind in RESOURCES


class Values:
    """Classifies expressions; results are remembered for the length of a run."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._attributes: dict[ast.AST, Attributes] = {}
        self._busy: set[ast.AST] = set()

    def of(self, node: ast.AST | None, module: Module, depth: int = 0) -> list[Value]:
        """All that *node* may hold; empty if nothing is known."""
        if node is None or depth > _MAX_DEPTH or node in self._busy:
            return []
        self._busy.add(node)
        try:
            found: list[Value] = []
            for choice in alternatives(node) if isinstance(node, ast.expr) else ():
                found += self._one(choice, module, depth)
            return found
        finally:
            self._busy.discard(node)

    def _one(self, node: ast.expr, module: Module, depth: int) -> list[Value]:
        if isinstance(node, ast.Name):
            found: list[Value] = []
            for binding in module.names.reaching(node):
                found += self.of_binding(binding, module, depth + 1)
            return found
        if isinstance(node, ast.Call):
            return self._call(node, module, depth)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, module, depth)
        if isinstance(node, ast.GeneratorExp):
            return [Value("generator", "a generator expression", module, node.lineno)]
        if isinstance(node, _LITERALS):
            return [Value("container", "a container", module, node.lineno)]
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp | ast.Compare):
            return [Value("data", "data", module, node.lineno)]
        return []

    def of_binding(self, binding: Binding, module: Module, depth: int = 0) -> list[Value]:
        """What a variable holds after *binding*."""
        line = getattr(binding.node, "lineno", 1)
        if binding.kind in ("assign", "with") and not binding.partial:
            return self.of(binding.value, module, depth)
        if binding.kind == "param" and isinstance(binding.node, ast.arg):
            known = self.of_annotation(binding.node.annotation, module, line)
            known += self.of(binding.value, module, depth)
            if not known and binding.name in SUSPECT_NAMES and binding.node.annotation is None:
                kind = SUSPECT_NAMES[binding.name]
                known = [Value(kind, f"the parameter {binding.name!r}", module, line, guessed=True)]
            return known
        if binding.kind == "import":
            place = self.project.find(binding.target)
            if place is not None and place[1] and "." not in place[1]:
                return self._global(place[0], place[1], depth)
        return []

    def _global(self, module: Module, name: str, depth: int) -> list[Value]:
        found: list[Value] = []
        for binding in module.names.root.bindings.get(name, []):
            found += self.of_binding(binding, module, depth + 1)
        return found

    def of_annotation(self, node: ast.expr | None, module: Module, line: int) -> list[Value]:
        """What a parameter holds by its annotation."""
        if isinstance(node, ast.BinOp):
            return self.of_annotation(node.left, module, line) + self.of_annotation(
                node.right, module, line
            )
        if isinstance(node, ast.Subscript):
            head = self.project.dotted(node.value, module)
            if head & {"typing.Optional", "typing.Annotated", "typing.Union"}:
                inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                return [value for part in inner for value in self.of_annotation(part, module, line)]
            return []
        if not isinstance(node, ast.Name | ast.Attribute):
            return []
        for name in self.project.dotted(node, module):
            kind = KINDS.get(canonical(name)) or ANNOTATIONS.get(name)
            if kind is not None:
                return [Value(kind, name, module, line)]
        definition = self.project.definition(node, module)
        return self.instance(definition, line) if definition is not None else []

    def _call(self, node: ast.Call, module: Module, depth: int) -> list[Value]:
        for name in self.project.dotted(node.func, module):
            name = canonical(name)
            kind = KINDS.get(name)
            if kind is not None:
                return [Value(kind, f"{name.removeprefix('builtins.')}()", module, node.lineno)]
            if name in CONTAINERS:
                return [Value("container", "a container", module, node.lineno)]
        if isinstance(node.func, ast.Attribute):
            made = self._method_call(node.func, node, module, depth)
            if made:
                return made
        definition = self.project.definition(node.func, module)
        if definition is None:
            return []
        if isinstance(definition.node, ast.ClassDef):
            return self.instance(definition, node.lineno)
        return self.returned(definition, node, module, depth)

    def _method_call(
        self, func: ast.Attribute, node: ast.Call, module: Module, depth: int
    ) -> list[Value]:
        owners = self.of(func.value, module, depth + 1)
        for owner in owners:
            if owner.kind == "database" and func.attr in ("cursor", "connect", "begin", "session"):
                return [replace(owner, label=f"{owner.label}.{func.attr}()")]
            if owner.kind == "manager" and func.attr in (
                "Lock",
                "RLock",
                "Queue",
                "dict",
                "list",
                "Event",
            ):
                return [Value("manager", f"Manager().{func.attr}()", module, node.lineno)]
        if func.attr == "open" and any(
            "Path" in name for name in self.project.dotted(func.value, module)
        ):
            return [Value("file", "Path.open()", module, node.lineno)]
        return []

    def returned(
        self, definition: Definition, node: ast.AST, module: Module, depth: int = 0
    ) -> list[Value]:
        """What a function of the tree returns."""
        function, found = definition.node, list[Value]()
        if isinstance(function, ast.ClassDef) or depth > _MAX_DEPTH:
            return found
        line = getattr(node, "lineno", 1)
        if isinstance(function, ast.AsyncFunctionDef):
            return [Value("coroutine", f"a coroutine of {definition.name}()", module, line)]
        if isinstance(function, ast.Lambda):
            return self.of(function.body, definition.module, depth + 1)
        for inner in own_nodes(function):
            if isinstance(inner, ast.Yield | ast.YieldFrom):
                if function.decorator_list:
                    return []
                return [Value("generator", f"a generator of {definition.name}()", module, line)]
            if isinstance(inner, ast.Return) and inner.value is not None:
                found += self.of(inner.value, definition.module, depth + 1)
        return found

    # -- objects of classes in the tree ---------------------------------------------------------

    def attributes(self, owner: Definition) -> Attributes:
        """Values assigned to ``self.x`` anywhere in the class and its bases, by attribute."""
        known = self._attributes.get(owner.node)
        if known is None:
            known = self._attributes[owner.node] = assigned_attributes(owner, self.project)
        return known

    def _attribute(self, node: ast.Attribute, module: Module, depth: int) -> list[Value]:
        owner = self.owner_of(node.value, module, depth)
        found: list[Value] = []
        if owner is not None:
            for value, home, _ in self.attributes(owner).get(node.attr, ()):
                for inner in self._default_factory(value, home) or self.of(value, home, depth + 1):
                    found.append(replace(inner, path=f".{node.attr}{inner.path}"))
            return found
        for name in self.project.dotted(node, module):
            place = self.project.find(name)
            if place is not None and place[1] and "." not in place[1]:
                found += self._global(place[0], place[1], depth + 1)
        return found

    def _default_factory(self, value: ast.expr | None, module: Module) -> list[Value]:
        """``field(default_factory=threading.Lock)`` of a dataclass."""
        if isinstance(value, ast.Call):
            for keyword in value.keywords:
                if keyword.arg in ("default_factory", "factory"):
                    for name in self.project.dotted(keyword.value, module):
                        if name in KINDS:
                            return [Value(KINDS[name], f"{name}()", module, value.lineno)]
                        if name in CONTAINERS:
                            return [Value("container", "a container", module, value.lineno)]
        return []

    def owner_of(self, node: ast.AST, module: Module, depth: int = 0) -> Definition | None:
        """The class in the tree that *node* is an instance of (``self`` included)."""
        if isinstance(node, ast.Name):
            scope = module.names.scope_at(node)
            home = scope.lookup(node.id)
            function = home.node if home is not None and home.kind == "function" else None
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*function.args.posonlyargs, *function.args.args]
                up = module.names.parent.get(function)
                is_first = bool(arguments) and arguments[0].arg == node.id
                if is_first and isinstance(up, ast.ClassDef) and not _is_static(function):
                    return Definition(module, up)
        if isinstance(node, ast.expr):
            for value in self.of(node, module, depth + 1):
                if value.definition is not None:
                    return value.definition
        return None

    def instance(self, definition: Definition, line: int) -> list[Value]:
        """An object of a class in the tree, without looking inside."""
        if not isinstance(definition.node, ast.ClassDef):
            return []
        for base in self.project.bases(definition):
            for node in base.node.bases if isinstance(base.node, ast.ClassDef) else ():
                for name in self.project.dotted(node, base.module):
                    if name in KINDS:
                        label = f"{definition.name}(), a {name}"
                        return [Value(KINDS[name], label, definition.module, line)]
        kind = f"{definition.name} object"
        return [Value("instance", kind, definition.module, line, definition=definition)]

    def inside(self, definition: Definition, depth: int = 0) -> list[Value]:
        """Things that cannot travel in an object of *definition*, with the path to each."""
        if depth > 3 or self.pickles_itself(definition):
            return []
        found: list[Value] = []
        for name, values in self.attributes(definition).items():
            for value, module, _ in values:
                for inner in self._default_factory(value, module) or self.of(
                    value, module, depth + 1
                ):
                    if inner.is_resource:
                        found.append(replace(inner, path=f".{name}{inner.path}"))
                    elif (
                        inner.definition is not None
                        and inner.definition.node is not definition.node
                    ):
                        found += [
                            replace(deep, path=f".{name}{deep.path}")
                            for deep in self.inside(inner.definition, depth + 1)
                        ]
        return found

    def unknown_inside(self, definition: Definition) -> list[Value]:
        """Attributes made by library calls that we know nothing about."""
        found: list[Value] = []
        for attribute, values in self.attributes(definition).items():
            for value, module, line in values:
                if (
                    isinstance(value, ast.Call)
                    and self.project.definition(value.func, module) is None
                ):
                    for name in self.project.dotted(value.func, module):
                        name = canonical(name)
                        if name.partition(".")[0] not in _PLAIN and name not in KINDS:
                            found.append(
                                Value("unknown", f"{name}()", module, line, f".{attribute}")
                            )
        return found

    def callee(self, node: ast.AST | None, module: Module) -> Definition | None:
        """The function or class of the tree that calling *node* runs, methods included."""
        found = self.project.definition(node, module)
        if found is None and isinstance(node, ast.Attribute):
            owner = self.owner_of(node.value, module)
            if owner is not None:
                found = self.project.method(owner, node.attr)
        elif found is None and isinstance(node, ast.Name):
            owner = self.owner_of(node, module)
            if owner is not None:
                found = self.project.method(owner, "__call__")
        return found

    def pickles_itself(self, definition: Definition) -> bool:
        """Whether the class says how to pickle it."""
        return any(
            self.project.method(definition, name) is not None
            for name in ("__getstate__", "__reduce__", "__reduce_ex__", "__getnewargs__")
        )

    def culprits(self, node: ast.AST, module: Module) -> list[Value]:
        """Everything in the value of *node* that cannot travel."""
        found: list[Value] = []
        for value in self.of(node, module):
            if value.is_resource or value.kind == "manager":
                found.append(value)
            elif value.definition is not None:
                found += self.inside(value.definition)
        return found


_PLAIN = PLAIN_PACKAGES | {"pathlib", "logging", "os", "dataclasses", "enum", "typing", "pydantic"}


def _is_static(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(mark, ast.Name) and mark.id in ("staticmethod", "classmethod")
        for mark in function.decorator_list
    )
