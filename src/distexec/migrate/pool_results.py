"""What becomes of an ``AsyncResult``: ``get()`` where a future has ``result()``."""

import ast
from collections.abc import Iterator

from distexec.migrate.project import Module
from distexec.migrate.records import Edit
from distexec.migrate.scopes import FUNCTIONS

_METHODS = {"get": "result", "ready": "done"}
#: Their result gives the items of their first argument, in a loop.
_SAME_ITEMS = frozenset({"tqdm", "list", "tuple", "reversed", "iter"})
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.comprehension)


class NoCounterpart(Exception):
    """A use of the pool that executors have nothing for."""

    def __init__(self, node: ast.AST, module: Module, what: str) -> None:
        super().__init__(what)
        self.node, self.module, self.what = node, module, what


class Results:
    """Follows the result of ``apply_async`` to each of its uses; one that is not known ends it."""

    def __init__(self, module: Module) -> None:
        self.module, self.names = module, module.names
        self._seen: set[ast.AST] = set()

    def of(self, node: ast.AST) -> list[Edit]:
        """Edits for what is done with the result that *node* is.

        Raises:
            NoCounterpart: Futures have nothing for it, or it cannot be followed.
        """
        return list(self._result(node))

    def _fail(self, node: ast.AST) -> NoCounterpart:
        line = getattr(node, "lineno", 0)
        return NoCounterpart(node, self.module, f"what line {line} does with the result")

    def _result(self, node: ast.AST) -> Iterator[Edit]:
        up = self.names.parent.get(node)
        if isinstance(up, ast.Expr):
            return
        if isinstance(up, ast.Attribute):
            yield self._method(up)
        elif isinstance(up, ast.Assign) and len(up.targets) == 1:
            yield from self._stored(up.targets[0], node)
        elif isinstance(up, ast.ListComp | ast.SetComp | ast.DictComp | ast.List):
            if node not in (getattr(up, "elt", node), getattr(up, "value", node)):
                raise self._fail(node)
            yield from self._held(up)
        elif isinstance(up, ast.Call) and _is_append(up):
            assert isinstance(up.func, ast.Attribute)
            yield from self._collection(up.func.value)
        else:
            raise self._fail(node)

    def _method(self, attribute: ast.Attribute) -> Edit:
        call = self.names.parent.get(attribute)
        new = _METHODS.get(attribute.attr)
        if new is None or not isinstance(call, ast.Call) or call.func is not attribute:
            raise NoCounterpart(attribute, self.module, f"{attribute.attr}() of the result")
        if (call.args or call.keywords) and _catches_timeouts(self.module):
            raise NoCounterpart(call, self.module, "a timeout that is caught as multiprocessing's")
        end = self.module.end(attribute)
        return Edit(end - len(attribute.attr), end, new)

    def _stored(self, target: ast.expr, node: ast.AST) -> Iterator[Edit]:
        if isinstance(target, ast.Name):
            for use in self._loads(target):
                yield from self._result(use)
        elif isinstance(target, ast.Subscript):
            yield from self._collection(target.value)
        else:
            raise self._fail(node)

    def _held(self, collection: ast.expr) -> Iterator[Edit]:
        """A display or comprehension of results."""
        up = self.names.parent.get(collection)
        if isinstance(up, ast.Assign) and len(up.targets) == 1:
            yield from self._collection(up.targets[0])
        else:
            yield from self._items(collection)

    def _collection(self, holder: ast.expr) -> Iterator[Edit]:
        if not isinstance(holder, ast.Name):
            raise self._fail(holder)
        for use in self._loads(holder):
            yield from self._items(use)

    def _items(self, use: ast.AST) -> Iterator[Edit]:
        """A collection of results is used: where do its items go?"""
        up = self.names.parent.get(use)
        if isinstance(up, ast.For | ast.comprehension) and up.iter is use:
            yield from self._stored(up.target, use)
        elif isinstance(up, ast.Subscript) and up.value is use:
            if isinstance(up.ctx, ast.Load):
                yield from self._result(up)
        elif isinstance(up, ast.Attribute) and up.attr == "values":
            yield from self._items(self.names.parent[up])
        elif isinstance(up, ast.Attribute) and up.attr == "items":
            yield from self._pairs(self.names.parent[up])
        elif isinstance(up, ast.Call) and isinstance(up.func, ast.Name):
            if up.func.id in _SAME_ITEMS:
                yield from self._items(up)
            elif up.func.id == "enumerate":
                yield from self._pairs(up)
            elif up.func.id != "len":
                raise self._fail(use)
        elif not (isinstance(up, ast.Attribute) and _is_append(self.names.parent.get(up))):
            raise self._fail(use)

    def _pairs(self, pairs: ast.AST) -> Iterator[Edit]:
        up = self.names.parent.get(pairs)
        target = up.target if isinstance(up, ast.For | ast.comprehension) else None
        if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
            raise self._fail(pairs)
        yield from self._stored(target.elts[1], pairs)

    def _loads(self, target: ast.Name) -> Iterator[ast.Name]:
        home = self.names.scope_at(target).lookup(target.id)
        for use in self.names.names_of(target.id, home) if home is not None else ():
            if isinstance(use.ctx, ast.Load) and use not in self._seen:
                self._seen.add(use)
                yield use


def the_only_get(call: ast.Call, module: Module) -> ast.Call:
    """The one ``get()`` that takes the list which ``map_async`` makes.

    Raises:
        NoCounterpart: There are several, it has a timeout, or the result goes elsewhere.
    """
    names = module.names
    up = names.parent.get(call)
    node: ast.AST = call
    if isinstance(up, ast.Assign) and len(up.targets) == 1 and isinstance(up.targets[0], ast.Name):
        home = names.scope_at(up.targets[0]).lookup(up.targets[0].id)
        assert home is not None
        uses = [u for u in names.names_of(up.targets[0].id, home) if isinstance(u.ctx, ast.Load)]
        block = names.parent.get(up)
        if len(uses) == 1 and not _repeats(uses[0], block, module):
            node = uses[0]
    attribute = names.parent.get(node)
    get = names.parent.get(attribute) if isinstance(attribute, ast.Attribute) else None
    if (
        isinstance(attribute, ast.Attribute)
        and attribute.attr == "get"
        and isinstance(get, ast.Call)
        and not get.args
        and not get.keywords
    ):
        return get
    raise NoCounterpart(call, module, "map_async(), unless one plain get() takes its result,")


def _repeats(use: ast.AST, block: ast.AST | None, module: Module) -> bool:
    """Whether *use* may run more often than the statement in *block* that it belongs to."""
    for up in module.names.ancestors(use):
        if up is block:
            return False
        if isinstance(up, (*_LOOPS, *FUNCTIONS)):
            return True
    return True


def _is_append(node: ast.AST | None) -> bool:
    func = node.func if isinstance(node, ast.Call) else None
    return isinstance(func, ast.Attribute) and func.attr == "append"


def _catches_timeouts(module: Module) -> bool:
    """Whether the module names multiprocessing's own TimeoutError."""
    return "multiprocessing.TimeoutError" in module.source.text or any(
        binding.target == "multiprocessing.TimeoutError"
        for bindings in module.names.root.bindings.values()
        for binding in bindings
    )
