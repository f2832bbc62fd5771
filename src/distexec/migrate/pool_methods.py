"""``multiprocessing.Pool`` onto executor methods, where every use of the pool has a counterpart."""

import ast

from distexec.migrate.life import Life, Submission, Use
from distexec.migrate.pool_results import NoCounterpart, Results, the_only_get
from distexec.migrate.pools import Site
from distexec.migrate.project import Module
from distexec.migrate.records import Edit

#: Methods that return before their calls have run.
UNREAD = ("imap", "imap_unordered", "apply_async", "map_async")
_ENDINGS = {
    "close": "shutdown(wait=False)",
    "join": "shutdown()",
    "terminate": "shutdown(wait=False, cancel_futures=True)",
}
_PARAMETERS = ("max_workers", "initializer", "initargs", "max_tasks_per_child")
_RENAMED = {"processes": "max_workers", "maxtasksperchild": "max_tasks_per_child"}


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
    if method == "starmap" and len(call.args) in (2, 3):
        return _starmap(call, func, module)
    if method == "apply":
        end = _insert(module.end(call), ".result()")
        return [_rename(func, module, "submit"), *_unpacked(call, module), end]
    if method == "apply_async":
        edits = [_rename(func, module, "submit"), *_unpacked(call, module)]
        return edits + Results(module).of(call)
    if method == "map_async" and len(call.args) in (2, 3):
        return _map_async(call, func, module)
    raise NoCounterpart(call, module, f"{method}()")


def _map(call: ast.Call, func: ast.Attribute, module: Module, method: str) -> list[Edit]:
    edits = _chunked(call, module, method)
    if method == "map":
        edits += [_insert(module.start(call), "list("), _insert(module.end(call), ")")]
    else:
        if "next" in module.names.attributes:
            raise NoCounterpart(call, module, "next() with a timeout on the iterator of imap()")
        if _is_endless(call.args[1]):
            raise NoCounterpart(call, module, "imap() over an iterable without end")
        edits.append(_rename(func, module, "map"))
    return edits


def _is_endless(iterable: ast.expr) -> bool:
    """Whether all of it cannot be drawn before the first result, as an executor's map does."""
    names = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(iterable)}
    return bool(names & {"count", "cycle"})


def _chunked(call: ast.Call, module: Module, method: str) -> list[Edit]:
    if any(keyword.arg != "chunksize" for keyword in call.keywords):
        raise NoCounterpart(call, module, f"{method}() with these arguments")
    chunksize = call.args[2:3]
    return [_insert(module.start(argument), "chunksize=") for argument in chunksize]


def _map_async(call: ast.Call, func: ast.Attribute, module: Module) -> list[Edit]:
    edits = [*_chunked(call, module, "map_async"), _rename(func, module, "map")]
    get = the_only_get(call, module)
    value = module.start(get.func.value) if isinstance(get.func, ast.Attribute) else 0
    end = module.end(get.func.value) if isinstance(get.func, ast.Attribute) else 0
    return [*edits, _insert(value, "list("), Edit(end, module.end(get), ")")]


def _starmap(call: ast.Call, func: ast.Attribute, module: Module) -> list[Edit]:
    """The calls by ``submit``: tuples of any length, and no function but the user's own."""
    function, inputs = call.args[0], call.args[1]
    future = _unused_name(module, "call", "future", "result")
    values = _unused_name(module, "args", "arguments", "values")
    in_class = module.names.scope_at(call).kind == "class"
    is_simple = isinstance(function, ast.Name | ast.Attribute | ast.Lambda)
    if not future or not values or in_class or not is_simple:
        raise NoCounterpart(call, module, "starmap() in this place")
    if any(keyword.arg != "chunksize" for keyword in call.keywords):
        raise NoCounterpart(call, module, "starmap() with these arguments")
    between = module.source.text[module.end(function) : module.start(inputs)]
    behind = module.source.text[module.end(inputs) : module.end(call)]
    if "#" in between + behind:
        raise NoCounterpart(call, module, "starmap() with a comment between its arguments")
    tail = f", *{values}) for {values} in {module.text(inputs)}]]"
    return [
        _insert(module.start(call), f"[{future}.result() for {future} in ["),
        _rename(func, module, "submit"),
        Edit(module.end(function), module.end(call), tail),
    ]


def _unused_name(module: Module, *candidates: str) -> str:
    return next((name for name in candidates if name not in module.names.uses), "")


def _unpacked(call: ast.Call, module: Module) -> list[Edit]:
    """``(f, (1, 2), {"a": 3})`` as ``(f, 1, 2, **{"a": 3})``."""
    given: dict[str, ast.expr] = dict(zip(("func", "args", "kwds"), call.args, strict=False))
    heads = {name: module.start(value) for name, value in given.items()}
    for keyword in call.keywords:
        if keyword.arg not in ("args", "kwds"):
            raise NoCounterpart(call, module, f"{keyword.arg}= of {module.text(call.func)}()")
        given[keyword.arg] = keyword.value
        heads[keyword.arg] = module.start(keyword)
    if "func" not in given or len(call.args) > 3:
        raise NoCounterpart(call, module, f"{module.text(call.func)}() with these arguments")
    edits: list[Edit] = []
    if "args" in given:
        edits += _spliced(given["args"], heads["args"], given["func"], call, module)
    if "kwds" in given:
        edits.append(Edit(heads["kwds"], module.start(given["kwds"]), "**"))
    return edits


def _spliced(
    arguments: ast.expr, head: int, function: ast.expr, call: ast.Call, module: Module
) -> list[Edit]:
    text = module.source.text
    start, end = module.start(arguments), module.end(arguments)
    is_display = isinstance(arguments, ast.Tuple | ast.List)
    elements = arguments.elts if isinstance(arguments, ast.Tuple | ast.List) else []
    if not is_display or text[start] not in "([":
        simple = isinstance(arguments, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
        return [
            Edit(head, start, "*" if simple else "*("),
            *([] if simple else [_insert(end, ")")]),
        ]
    last = module.end(elements[-1]) if elements else start
    if "#" in text[last:end]:
        raise NoCounterpart(call, module, "arguments with a comment behind them")
    if not elements:
        return [Edit(module.end(function), end, "")]
    return [Edit(head, module.start(elements[0]), ""), Edit(last, end, "")]


def _ending(use: Use) -> list[Edit]:
    call, module = use.node, use.module
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    new = _ENDINGS.get(use.detail)
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
