"""Which object a parameter gets at a submission, and who looks at that object later."""

import ast
from collections.abc import Iterator

from distexec.migrate.project import Module, Project, root_name
from distexec.migrate.rules.base import Target
from distexec.migrate.scopes import Names

#: Their result holds what they were given.
_SAME_ITEMS = frozenset(
    {"list", "tuple", "set", "sorted", "reversed", "enumerate", "zip", "chain", "islice", "iter"}
)


def arguments_for(target: Target, parameter: str) -> Iterator[ast.expr]:
    """The expressions that *parameter* may get; for ``map``, those that the items come from."""
    definition, submission = target.definition, target.submission
    if definition is None or isinstance(definition.node, ast.ClassDef):
        return
    arguments = definition.node.args
    names = [arg.arg for arg in [*arguments.posonlyargs, *arguments.args]]
    if target.receiver is not None and definition.owner is not None:
        names = names[1:]
    for keyword in submission.call.keywords:
        if keyword.arg == parameter and submission.how != "map":
            yield keyword.value
            return
    position = names.index(parameter) if parameter in names else len(names)
    is_clear = not any(isinstance(given, ast.Starred) for given in submission.call.args)
    if is_clear and position < len(target.arguments):
        given = target.arguments[position]
        is_iterated = submission.how == "map" and given in submission.arguments
        yield from _items(given) if is_iterated else (given,)


def default_of(target: Target, parameter: str) -> ast.expr | None:
    """The default of *parameter*, if it has one and every call takes it."""
    definition, call = target.definition, target.submission.call
    if definition is None or isinstance(definition.node, ast.ClassDef):
        return None
    if any(isinstance(given, ast.Starred) for given in call.args):
        return None
    if any(keyword.arg is None for keyword in call.keywords):
        return None
    scope = definition.module.names.scope_of[definition.node]
    bindings = scope.bindings.get(parameter, ())
    return next((b.value for b in bindings if b.kind == "param"), None)


def _items(iterable: ast.expr) -> Iterator[ast.expr]:
    """Where the items of *iterable* come from."""
    if isinstance(iterable, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        yield iterable.elt
    elif isinstance(iterable, ast.List | ast.Tuple | ast.Set):
        for element in iterable.elts:
            yield element.value if isinstance(element, ast.Starred) else element
    elif isinstance(iterable, ast.Call):
        func = iterable.func
        name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
        if name in _SAME_ITEMS and iterable.args:
            for argument in iterable.args:
                yield from _items(argument)
        elif name == "filter" and len(iterable.args) == 2:
            yield from _items(iterable.args[1])
        elif name in ("values", "items") and isinstance(func, ast.Attribute):
            yield func.value
        elif name not in ("range", "keys"):
            yield iterable
    else:
        yield iterable


def is_fresh(argument: ast.expr, module: Module, project: Project) -> bool:
    """Whether the object is made at the submission, so that nobody else holds it."""
    if isinstance(argument, ast.Call):
        definition = project.definition(argument.func, module)
        is_class = definition is not None and isinstance(definition.node, ast.ClassDef)
        names = project.dotted(argument.func, module)
        is_copy = isinstance(argument.func, ast.Attribute) and argument.func.attr == "copy"
        return is_class or is_copy or any(name in _MAKERS for name in names)
    if isinstance(argument, ast.Tuple):
        return all(is_fresh(element, module, project) for element in argument.elts)
    return not isinstance(argument, ast.Name | ast.Attribute | ast.Subscript | ast.Starred)


_MAKERS = frozenset(
    {
        "builtins.list", "builtins.dict", "builtins.set", "builtins.bytearray", "builtins.str",
        "builtins.int", "copy.copy", "copy.deepcopy", "collections.defaultdict",
        "collections.Counter", "collections.deque",
    }
)  # fmt: skip


def used_after(target: Target, argument: ast.expr) -> ast.Name | None:
    """A use of the argument, or of what it was taken from, behind the submission."""
    module = target.submission.module
    root = root_name(argument)
    if root is None:
        return None
    scope = module.names.scope_at(root)
    home = scope.lookup(root.id)
    if home is None:
        return None
    last = getattr(module.names.statement(target.submission.call), "end_lineno", 0) or 0
    for binding in home.bindings.get(root.id, ()):
        if binding.kind == "for" and binding.value is not None:
            if isinstance(binding.node, ast.For | ast.AsyncFor):
                last = max(last, binding.node.end_lineno or 0)
            inner = root_name(binding.value)
            if inner is not None and inner.id != root.id:
                found = _use_behind(module.names, inner, last)
                if found is not None:
                    return found
            return None
    return _use_behind(module.names, root, last)


def _use_behind(names: Names, root: ast.Name, last: int) -> ast.Name | None:
    home = names.scope_at(root).lookup(root.id)
    if home is None:
        return None
    uses = [use for use in names.names_of(root.id, home) if isinstance(use.ctx, ast.Load)]
    later = [use for use in uses if use.lineno > last]
    return min(later, key=lambda use: use.lineno) if later else None
