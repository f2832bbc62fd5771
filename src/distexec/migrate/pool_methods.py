"""``multiprocessing.Pool`` onto executor methods, where every use of the pool has a counterpart."""

import ast

from distexec.migrate.follow import Life, Submission, Use
from distexec.migrate.pools import Site
from distexec.migrate.project import Module
from distexec.migrate.records import Edit

_CONSUMERS = frozenset(
    {
        "list",
        "tuple",
        "set",
        "frozenset",
        "sorted",
        "sum",
        "max",
        "min",
        "any",
        "all",
        "enumerate",
        "zip",
        "dict",
        "tqdm",
        "Counter",
        "iter",
        "join",
    }
)
_PARAMETERS = ("max_workers", "initializer", "initargs", "max_tasks_per_child")
_RENAMED = {"processes": "max_workers", "maxtasksperchild": "max_tasks_per_child"}


class NoCounterpart(Exception):
    """A use of the pool that executors have nothing for."""

    def __init__(self, node: ast.AST, module: Module, what: str) -> None:
        super().__init__(what)
        self.node, self.module, self.what = node, module, what


def translate(site: Site, life: Life) -> list[Edit]:
    """Edits that turn every use of the pool into an executor's; the class itself is not among them.

    Raises:
        NoCounterpart: One use cannot be translated exactly, so none is.
    """
    if not site.references:
        raise NoCounterpart(site.call, site.module, "the start method")
    edits = _constructor(site)
    for submission in life.submissions:
        if submission.module is not site.module:
            raise NoCounterpart(site.call, site.module, "a use in another module")
        edits += _submission(submission)
    for use in life.uses:
        if use.module is not site.module or use.kind != "shutdown":
            raise NoCounterpart(
                site.call, site.module, f"its use on line {getattr(use.node, 'lineno', 0)}"
            )
        edits += _ending(use)
    return edits


def _constructor(site: Site) -> list[Edit]:
    call, module, edits = site.call, site.module, list[Edit]()
    limit = len(_PARAMETERS) if site.only_processes else 3
    if any(isinstance(argument, ast.Starred) for argument in call.args) or len(call.args) > limit:
        raise NoCounterpart(call, module, "its arguments")
    for index, argument in enumerate(call.args[1:], start=1):
        edits.append(_insert(module.start(argument), f"{_PARAMETERS[index]}="))
    for keyword in call.keywords:
        if keyword.arg in _RENAMED:
            start = module.start(keyword)
            edits.append(Edit(start, start + len(keyword.arg), _RENAMED[keyword.arg]))
        elif keyword.arg not in ("initializer", "initargs"):
            raise NoCounterpart(keyword.value, module, f"the argument {keyword.arg!r}")
    return edits


def _submission(submission: Submission) -> list[Edit]:
    call, module, method = submission.call, submission.module, submission.method
    func = call.func
    if not isinstance(func, ast.Attribute) or any(isinstance(a, ast.Starred) for a in call.args):
        raise NoCounterpart(call, module, f"{method}()")
    if method in ("map", "imap", "imap_unordered") and len(call.args) in (2, 3):
        return _map(call, func, module, method)
    if (
        method == "apply"
        and len(call.args) == 2
        and isinstance(call.args[1], ast.Tuple)
        and not call.keywords
    ):
        return _apply(call, func, call.args[1], module)
    raise NoCounterpart(call, module, f"{method}()")


def _map(call: ast.Call, func: ast.Attribute, module: Module, method: str) -> list[Edit]:
    edits: list[Edit] = []
    if any(keyword.arg != "chunksize" for keyword in call.keywords):
        raise NoCounterpart(call, module, f"{method}() with these arguments")
    if len(call.args) == 3:
        edits.append(_insert(module.start(call.args[2]), "chunksize="))
    if method == "map":
        edits += [_insert(module.start(call), "list("), _insert(module.end(call), ")")]
    else:
        up = module.names.parent.get(call)
        consumed = isinstance(up, ast.For | ast.comprehension) and up.iter is call
        if isinstance(up, ast.Call):
            callee = up.func.id if isinstance(up.func, ast.Name) else getattr(up.func, "attr", "")
            consumed = callee in _CONSUMERS and call in up.args
        if not consumed:
            raise NoCounterpart(call, module, f"{method}() whose iterator is handed on")
        edits.append(_rename(func, module, "map"))
    return edits


def _apply(call: ast.Call, func: ast.Attribute, arguments: ast.Tuple, module: Module) -> list[Edit]:
    text = module.source.text
    start, end = module.start(arguments), module.end(arguments)
    if text[start] != "(" or any(isinstance(e, ast.Starred) for e in arguments.elts):
        raise NoCounterpart(call, module, "apply() with these arguments")
    edits = [_rename(func, module, "submit"), _insert(module.end(call), ".result()")]
    if not arguments.elts:
        edits.append(Edit(module.end(call.args[0]), end, ""))
        return edits
    last = module.end(arguments.elts[-1])
    if "#" in text[last:end]:
        raise NoCounterpart(call, module, "apply() with these arguments")
    edits += [Edit(start, module.start(arguments.elts[0]), ""), Edit(last, end, "")]
    return edits


def _ending(use: Use) -> list[Edit]:
    call, module = use.node, use.module
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    new = {"close": "shutdown(wait=False)", "join": "shutdown()"}.get(use.detail)
    if new is None or call.args or call.keywords:
        raise NoCounterpart(call, module, f"{use.detail}()")
    end = module.end(call)
    return [Edit(end - len(_tail(call.func, call, module)), end, new)]


def _tail(func: ast.Attribute, call: ast.Call, module: Module) -> str:
    """``close()`` as it is written."""
    begin = module.end(func) - len(func.attr)
    return module.source.text[begin : module.end(call)]


def _rename(func: ast.Attribute, module: Module, new: str) -> Edit:
    end = module.end(func)
    return Edit(end - len(func.attr), end, new)


def _insert(offset: int, text: str) -> Edit:
    return Edit(offset, offset, text)
