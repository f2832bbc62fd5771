"""Where a module names an executor class, in which role, and which calls make a pool."""

import ast
from dataclasses import dataclass, field

from distexec.migrate.catalog import EXECUTORS, MIRRORED, canonical
from distexec.migrate.project import Module, Project
from distexec.migrate.scopes import Binding, Scope

_FUTURES = "concurrent.futures"


@dataclass(slots=True, eq=False)
class Reference:
    """One expression that names something of ``concurrent.futures`` or ``multiprocessing``."""

    node: ast.Name | ast.Attribute
    #: What it names, such as ``concurrent.futures.ThreadPoolExecutor``.
    target: str
    #: call, alias, annotation, typetest, base, default, neutral, stay, escape
    role: str
    #: The variable that the import binds, and its scope.
    root: str
    home: Scope | None
    #: All executor classes that it may name; several after a conditional import.
    targets: tuple[str, ...] = ()
    #: Set by the decision: goes to distexec.
    moves: bool = False


@dataclass(slots=True, eq=False)
class Site:
    """One call that makes a pool."""

    module: Module
    call: ast.Call
    #: thread, process, or both for a conditional class.
    kinds: frozenset[str]
    #: futures, or pool for those of multiprocessing.
    family: str
    #: Every reference that must change for the site to change.
    references: list[Reference] = field(default_factory=list)

    @property
    def line(self) -> int:
        """Line of the call."""
        return self.call.lineno

    @property
    def name(self) -> str:
        """The class as the code names it."""
        return self.module.text(self.call.func)

    @property
    def only_processes(self) -> bool:
        """Whether the program already lives with other processes here."""
        return self.kinds == {"process"}


@dataclass(slots=True)
class Survey:
    """All references and sites of one module."""

    module: Module
    references: list[Reference] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    #: Import bindings by variable.
    imports: dict[tuple[str, Scope], list[Binding]] = field(default_factory=dict)
    #: Star imports of concurrent.futures.
    stars: list[ast.ImportFrom] = field(default_factory=list)


def survey(module: Module, project: Project) -> Survey:
    """Find every reference and every site of *module*."""
    found = Survey(module)
    for scope in {module.names.root, *module.names.scope_of.values()}:
        for name, bindings in scope.bindings.items():
            imports = [b for b in bindings if b.kind == "import" and _matters(b, project)]
            if imports:
                found.imports[name, scope] = imports
    for (name, scope), _ in sorted(found.imports.items(), key=lambda item: item[0][0]):
        for use in module.names.names_of(name, scope):
            if isinstance(use.ctx, ast.Load):
                _add(found, project, use, name, scope)
        if scope.kind == "class":
            for member in _members(name, scope, module):
                _add_member(found, project, member, scope)
    found.stars = [
        star for star in module.names.star_imports if star.module == _FUTURES and not star.level
    ]
    if found.stars:
        for name in MIRRORED:
            for use in module.names.uses.get(name, ()):
                if module.names.used_in[use].lookup(name) is None:
                    _add(found, project, use, "*", None)
    found.references.sort(key=lambda reference: (reference.node.lineno, reference.node.col_offset))
    _sites(found)
    return found


def _matters(binding: Binding, project: Project) -> bool:
    if binding.target.startswith(("concurrent", "multiprocessing")):
        return True
    tail = binding.target.rpartition(".")[2].lower()
    if "pool" not in tail and "executor" not in tail and "future" not in tail:
        return False
    return any(canonical(name) in EXECUTORS for name in project.through_tree(binding.target))


def _add(found: Survey, project: Project, use: ast.Name, root: str, home: Scope | None) -> None:
    """Note the longest chain over *use* that names something we know."""
    module = found.module
    node: ast.Name | ast.Attribute = use
    while True:
        targets = {canonical(name) for name in project.dotted(node, module)}
        known = sorted(name for name in targets if name in EXECUTORS or _mirrored(name))
        up = module.names.parent.get(node)
        if known or not isinstance(up, ast.Attribute):
            break
        node = up
    if known:
        target = known[0]
        role = _role(node, module) if target in EXECUTORS else "neutral"
    else:
        target = min(targets, default="")
        if not target.startswith(("concurrent", "multiprocessing")):
            return
        role = "stay"
    executors = tuple(name for name in known if name in EXECUTORS)
    found.references.append(Reference(node, target, role, root, home, executors))


def _members(name: str, scope: Scope, module: Module) -> list[ast.Attribute]:
    """``self.name`` and ``Class.name``, for what the body of a class imports."""
    own = scope.node
    return [
        node
        for node in module.names.attributes.get(name, ())
        if isinstance(node.value, ast.Name)
        and isinstance(own, ast.ClassDef)
        and (
            node.value.id == own.name
            or (node.value.id in ("self", "cls") and module.names.enclosing_class(node) is own)
        )
    ]


def _add_member(found: Survey, project: Project, member: ast.Attribute, scope: Scope) -> None:
    bindings = found.imports[member.attr, scope]
    names = {canonical(n) for b in bindings for n in project.through_tree(b.target)}
    node = member
    while not any(name in EXECUTORS or _mirrored(name) for name in names):
        up = found.module.names.parent.get(node)
        if not isinstance(up, ast.Attribute):
            break
        node, names = up, {canonical(f"{name}.{up.attr}") for name in names}
    executors = tuple(sorted(name for name in names if name in EXECUTORS))
    target = executors[0] if executors else min(names)
    role = _role(node, found.module) if executors else "neutral" if _mirrored(target) else "stay"
    found.references.append(Reference(node, target, role, member.attr, scope, executors))


def _mirrored(name: str) -> bool:
    head, _, tail = name.rpartition(".")
    return head == _FUTURES and tail in MIRRORED


def _role(node: ast.expr, module: Module) -> str:
    child: ast.AST = node
    first = module.names.parent.get(node)
    if isinstance(first, ast.Attribute) and first.attr.startswith("__"):
        return "annotation"
    for up in module.names.ancestors(node):
        if isinstance(up, ast.Call):
            if up.func is child:
                return "call"
            callee = up.func.id if isinstance(up.func, ast.Name) else getattr(up.func, "attr", "")
            if callee in ("isinstance", "issubclass"):
                return "typetest"
            return "annotation" if callee == "cast" and up.args[0] is child else "escape"
        if isinstance(up, ast.arg):
            return "annotation"
        if isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef):
            return "annotation" if up.returns is child else "escape"
        if isinstance(up, ast.AnnAssign):
            if up.annotation is child:
                return "annotation"
            return "alias" if isinstance(up.target, ast.Name) else "escape"
        if isinstance(up, ast.Assign):
            plain = len(up.targets) == 1 and isinstance(up.targets[0], ast.Name)
            return "alias" if plain and _is_choice(up.value, node) else "escape"
        if isinstance(up, ast.ClassDef):
            return "base" if child in up.bases else "escape"
        if isinstance(up, ast.arguments):
            return "default"
        if isinstance(up, ast.Compare):
            # "is not None" asks whether the import worked, not which class it is.
            others = [up.left, *up.comparators]
            is_none = any(isinstance(o, ast.Constant) and o.value is None for o in others)
            return "annotation" if is_none else "typetest"
        if isinstance(up, ast.stmt):
            return "escape"
        child = up
    return "escape"


def _is_choice(value: ast.expr, node: ast.expr) -> bool:
    """Whether *node* is one of the values of ``a if c else b``, ``a or b``, or *value* itself."""
    if isinstance(value, ast.IfExp):
        return _is_choice(value.body, node) or _is_choice(value.orelse, node)
    if isinstance(value, ast.BoolOp):
        return any(_is_choice(part, node) for part in value.values)
    return value is node


def _sites(found: Survey) -> None:
    module = found.module
    aliases: dict[tuple[str, Scope], list[Reference]] = {}
    calls: dict[ast.Call, list[Reference]] = {}
    for reference in found.references:
        if reference.role == "call":
            child: ast.AST = reference.node
            for up in module.names.ancestors(reference.node):
                if isinstance(up, ast.Call) and up.func is child:
                    calls.setdefault(up, []).append(reference)
                    break
                child = up
        elif reference.role == "alias":
            target = _alias_target(reference, module)
            scope = module.names.scope_at(target)
            aliases.setdefault((target.id, scope.lookup(target.id) or scope), []).append(reference)
    for (name, scope), references in aliases.items():
        used = [use for use in module.names.names_of(name, scope) if isinstance(use.ctx, ast.Load)]
        made = [
            up
            for use in used
            if isinstance(up := module.names.parent[use], ast.Call) and up.func is use
        ]
        if (
            scope.kind == "class"
            or not made
            or not _understood(name, scope, references, used, module)
        ):
            for reference in references:
                reference.role = "escape"
            continue
        for call in made:
            calls.setdefault(call, []).extend(references)
    for call in _of_contexts(found):
        found.sites.append(Site(module, call, frozenset({"process"}), "pool"))
    for call, references in sorted(
        calls.items(), key=lambda item: (item[0].lineno, item[0].col_offset)
    ):
        facts = [EXECUTORS[target] for reference in references for target in reference.targets]
        families = {family for _, family in facts}
        family = "pool" if "pool" in families else "futures"
        found.sites.append(
            Site(module, call, frozenset(kind for kind, _ in facts), family, references)
        )


def _of_contexts(found: Survey) -> list[ast.Call]:
    """Pools made by ``multiprocessing.get_context(...)``: there is no class to swap."""
    names = found.module.names
    made: list[ast.Call] = []
    for node in names.attributes.get("Pool", ()):
        up = names.parent.get(node)
        bases: list[ast.expr | None] = [node.value]
        if isinstance(node.value, ast.Name):
            bases = [binding.value for binding in names.reaching(node.value)]
        for base in bases:
            callee = getattr(base.func, "attr", "") if isinstance(base, ast.Call) else ""
            callee = callee or getattr(getattr(base, "func", None), "id", "")
            if callee == "get_context" and isinstance(up, ast.Call) and up.func is node:
                made.append(up)
    return made


def _alias_target(reference: Reference, module: Module) -> ast.Name:
    statement = module.names.statement(reference.node)
    target: ast.expr | None = None
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    assert isinstance(target, ast.Name)
    return target


def _understood(
    name: str, scope: Scope, references: list[Reference], used: list[ast.Name], module: Module
) -> bool:
    """Whether the alias is bound to executor classes alone, and only called or compared."""
    nodes = {reference.node for reference in references}
    for binding in scope.bindings.get(name, ()):
        if binding.kind != "assign" or binding.value is None or binding.partial:
            return False
        if not _all_known(binding.value, nodes):
            return False
    for use in used:
        up = module.names.parent[use]
        called = isinstance(up, ast.Call) and up.func is use
        if not called and not isinstance(up, ast.Compare | ast.arg | ast.FormattedValue):
            return False
    return True


def _all_known(value: ast.expr, nodes: set[ast.Name | ast.Attribute]) -> bool:
    if isinstance(value, ast.IfExp):
        return _all_known(value.body, nodes) and _all_known(value.orelse, nodes)
    if isinstance(value, ast.Constant):
        return value.value is None
    return value in nodes
