"""DX6xx: what kind of callable is submitted, and what is done with its future."""

import ast
import re
from collections.abc import Iterator

from distexec.migrate.catalog import CALL_EFFECTS, MUTATORS, PLAIN_PACKAGES
from distexec.migrate.life import callbacks, futures_of
from distexec.migrate.project import Definition, own_nodes
from distexec.migrate.records import Finding, Severity
from distexec.migrate.rules.base import Case, Rule, Target

_B, _W, _I = Severity.BLOCKS, Severity.WARNS, Severity.INFORMS

LAMBDA = Rule(
    "DX601",
    "lambda",
    _I,
    "a lambda travels by value, with what it captures",
    "Nothing to do; keep what it captures small.",
)
NESTED = Rule(
    "DX602",
    "nested-function",
    _I,
    "a nested function travels by value, with what it captures",
    "Nothing to do; a module-level function is sent by name and is cheaper.",
)
MAIN = Rule(
    "DX603",
    "main-function",
    _I,
    "a function of the main script travels by value, with its globals",
    "Nothing to do; in an imported module it would be sent by name.",
)
NESTED_POOL = Rule(
    "DX604",
    "nested-submission",
    _W,
    "submits calls from inside a call, or itself again",
    "Works; a pool opened inside a call takes its share of the same workers.",
)
ASYNC = Rule(
    "DX605",
    "async-function",
    _W,
    "an async function is submitted: threads return a coroutine, we run it",
    "Ours runs the coroutine in the worker and returns its result; read result() accordingly.",
)
GENERATOR = Rule(
    "DX606",
    "generator-function",
    _B,
    "a generator function is submitted; its generator cannot be sent back",
    "Return a list.",
)
OPAQUE = Rule(
    "DX607",
    "unknown-callable",
    _W,
    "what is submitted cannot be seen from here",
    "Check what runs; then rewrite with --unsafe or ignore this code here.",
)
CALLBACK = Rule(
    "DX608",
    "callback-state",
    _I,
    "a done-callback touches shared state; it runs here, on another thread",
    "Nothing to do if it was safe before: callbacks still run in this process.",
)
TIMEOUT = Rule(
    "DX609",
    "timeout-abandons",
    _I,
    "a result is waited for with a timeout; the call goes on after it",
    "Use ex.options(timeout=...) to end the call itself.",
)
FORGET = Rule(
    "DX610",
    "fire-and-forget",
    _W,
    "nobody reads the result, so only side effects matter, and errors are lost",
    "Keep the future and read its result, at least for its exception.",
)
NO_WAIT = Rule(
    "DX611",
    "shutdown-without-wait",
    _I,
    "shuts the pool down without waiting for its calls",
    "Calls already sent go on in the workers until the program ends.",
)
TEST = Rule(
    "DX612",
    "concurrency-test",
    _W,
    "a test whose point is threads; on workers it would test nothing",
    "Leave it: mark the line with '# distexec: local'.",
)
RULES = (
    LAMBDA,
    NESTED,
    MAIN,
    NESTED_POOL,
    ASYNC,
    GENERATOR,
    OPAQUE,
    CALLBACK,
    TIMEOUT,
    FORGET,
    NO_WAIT,
    TEST,
)

_ABOUT_THREADS = re.compile(r"thread|concurren|parallel|race|simultaneous", re.I)


def check(case: Case) -> Iterator[Finding]:
    """Look at each callable, and at what becomes of its future."""
    for target in case.targets:
        yield from _callable(case, target)
        yield from _future(case, target)
    for target, effect in case.all_effects():
        if effect.kind == "runs" and not case.site.only_processes:
            yield case.at_effect(
                OPAQUE,
                target,
                effect,
                f"calls its argument {effect.subject!r}, which we cannot see",
            )
        if effect.kind == "submits":
            yield case.at_effect(NESTED_POOL, target, effect, f"calls {effect.subject}() itself")
    yield from _concurrency_test(case)
    for use in case.life.uses:
        if use.kind == "shutdown" and isinstance(use.node, ast.Call):
            wait = next((k.value for k in use.node.keywords if k.arg == "wait"), None)
            if isinstance(wait, ast.Constant) and wait.value is False:
                yield case.finding(
                    NO_WAIT,
                    use.node,
                    use.module,
                    f"the pool of line {case.site.line} is left running",
                )


def _concurrency_test(case: Case) -> Iterator[Finding]:
    """Tests of thread safety would pass anywhere else, and test nothing."""
    module, site = case.site.module, case.site
    function = module.names.enclosing_function(site.call)
    name = f"{module.name}.{getattr(function, 'name', '')}"
    is_test = "test" in module.name.rpartition(".")[2] or ".tests." in f".{module.name}."
    if is_test and _ABOUT_THREADS.search(name) and not site.only_processes:
        yield case.finding(
            TEST,
            site.call,
            module,
            f"the pool of line {site.line} is part of {name}, a test about threads",
        )


def _callable(case: Case, target: Target) -> Iterator[Finding]:
    submission, definition = target.submission, target.definition
    module, node = submission.module, target.function
    where = f"on line {submission.line} to the pool of line {case.site.line}"
    if definition is None or isinstance(definition.node, ast.ClassDef):
        if definition is None and not _is_plain(case, target) and not _is_known(case, target):
            what = module.text(node).partition("\n")[0]
            yield case.finding(
                OPAQUE, node, module, f"{what!r} is submitted {where}; we cannot see what it does"
            )
        return
    function = definition.node
    if isinstance(function, ast.Lambda):
        yield case.finding(LAMBDA, node, module, f"a lambda is submitted {where}")
    elif isinstance(function, ast.AsyncFunctionDef):
        yield case.finding(
            ASYNC, node, module, f"the async function {target.label} is submitted {where}"
        )
    elif _is_nested(definition):
        yield case.finding(
            NESTED,
            node,
            module,
            f"{target.label}, nested (line {definition.line}), is submitted {where}",
        )
    elif definition.owner is None and _is_main(definition):
        yield case.finding(
            MAIN, node, module, f"{target.label} of the main script is submitted {where}"
        )
    if isinstance(function, ast.FunctionDef) and not case.site.only_processes:
        for inner in own_nodes(function):
            if isinstance(inner, ast.Yield | ast.YieldFrom):
                yield case.finding(
                    GENERATOR,
                    inner,
                    definition.module,
                    f"{target.label} is a generator function, submitted {where}",
                )
                break


def _is_nested(definition: Definition) -> bool:
    return definition.module.names.enclosing_function(definition.node) is not None


def _is_main(definition: Definition) -> bool:
    return "__main__" in definition.module.source.text


def _is_plain(case: Case, target: Target) -> bool:
    """Whether it is a library function that works on plain data."""
    heads = {name.partition(".")[0] for name in target.dotted}
    if heads and heads <= PLAIN_PACKAGES:
        return True
    # A method of a literal or of plain data, such as str.upper.
    return target.receiver is not None and any(
        value.kind == "data" for value in case.values.of(target.receiver, target.submission.module)
    )


def _is_known(case: Case, target: Target) -> bool:
    """Whether another rule says what is wrong with it."""
    if any(
        name.startswith(("asyncio.", "contextvars.")) or name in CALL_EFFECTS
        for name in target.dotted
    ):
        return True
    values = case.values.of(target.receiver, target.submission.module)
    mutates = isinstance(target.function, ast.Attribute) and target.function.attr in MUTATORS
    return any(value.is_resource or (mutates and value.kind == "container") for value in values)


def _future(case: Case, target: Target) -> Iterator[Finding]:
    submission = target.submission
    module = submission.module
    up = module.names.parent.get(submission.call)
    processes = Severity.INFORMS if case.site.only_processes else None
    if isinstance(up, ast.Expr) and submission.method not in ("apply", "starmap"):
        yield case.finding(
            FORGET,
            submission.call,
            module,
            f"the result of {target.label}, submitted on line {submission.line} to the pool of "
            "line "
            f"{case.site.line}, is never read",
            processes,
        )
    for callback in callbacks(submission):
        definition = case.values.callee(callback, module)
        if definition is None or isinstance(definition.node, ast.ClassDef):
            continue
        kinds = {effect.kind for effect in case.effects.of(definition)}
        if any(kind.endswith("-write") for kind in kinds) or "uses" in kinds:
            yield case.finding(
                CALLBACK,
                callback,
                module,
                f"the callback {module.text(callback)} of the call on line {submission.line} "
                "touches shared state",
            )
    for name, scope in futures_of(submission):
        for use in module.names.names_of(name, scope):
            attribute = module.names.parent.get(use)
            call = module.names.parent.get(attribute) if attribute is not None else None
            if (
                isinstance(attribute, ast.Attribute)
                and attribute.attr == "result"
                and isinstance(call, ast.Call)
            ) and (call.args or call.keywords):
                yield case.finding(
                    TIMEOUT,
                    call,
                    module,
                    f"the result of the call on line {submission.line} is awaited with a timeout",
                )
