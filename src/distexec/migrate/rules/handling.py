"""DX4xx: what is done with the executor itself, or with its class."""

import ast
from collections.abc import Iterator

from distexec.migrate.pools import Reference, Site
from distexec.migrate.project import Module
from distexec.migrate.records import Finding, Place, Severity
from distexec.migrate.rules.base import Case, Rule

_B, _W, _I = Severity.BLOCKS, Severity.WARNS, Severity.INFORMS

PRIVATE = Rule(
    "DX401",
    "private-attribute",
    _B,
    "reaches into private attributes of the standard executor",
    "Use statistics() for numbers, and keep the limit you passed in a variable of your own.",
)
SUBCLASS = Rule(
    "DX402",
    "subclass",
    _B,
    "a subclass of a standard executor",
    "Wrap an executor instead of inheriting from it; then migrate the wrapped one.",
)
CLASS_ESCAPES = Rule(
    "DX403",
    "class-escapes",
    _W,
    "the class is handed on as a value, so its calls cannot be seen",
    "Change it by hand once you know every place that calls it.",
)
POOL_ESCAPES = Rule(
    "DX404",
    "pool-escapes",
    _W,
    "the pool is handed to code that cannot be followed",
    "Check what that code submits; then rewrite with --unsafe or ignore this code here.",
)
SERVER = Rule(
    "DX405",
    "in-process-server",
    _B,
    "the pool serves requests of a server in this process",
    "Leave it local; submit heavy work from the handlers to an executor of its own.",
)
TYPETEST = Rule(
    "DX406",
    "type-test",
    _W,
    "the pool's class is tested with isinstance",
    "Test for concurrent.futures.Executor, which ours is too.",
)
MP_CONTEXT = Rule(
    "DX407",
    "mp-context",
    _W,
    "chooses how child processes start; ours inherit nothing by fork",
    "Pass what children inherited as arguments, then drop mp_context.",
)
PATCHED = Rule(
    "DX408",
    "patch-string",
    _W,
    "a patch of the standard name would no longer reach the rewritten code",
    "Patch the name in the module that uses it: 'pkg.mod.ThreadPoolExecutor'.",
)
INITIALIZED = Rule(
    "DX409",
    "initializer",
    _W,
    "an initializer prepares each worker; ours may come and go",
    "Make it repeatable; it runs once in each worker process for this executor.",
)
NO_COUNTERPART = Rule(
    "DX410",
    "no-counterpart",
    _B,
    "uses a method of multiprocessing pools that executors do not have",
    "Use submit, map and add_done_callback by hand.",
)
BY_NAME = Rule(
    "DX411",
    "class-by-name",
    _W,
    "picks the class, or an attribute of the pool, by a string",
    "Change it by hand: getattr(distexec, name) knows the same names.",
)
BOUND = Rule(
    "DX412",
    "bound-method",
    _W,
    "a bound submit or map is handed on, so its calls cannot be seen",
    "Call it where it is, or check the receiving code by hand.",
)
UNUSED = Rule(
    "DX413",
    "no-call-found",
    _W,
    "nothing is submitted to the pool in the scanned tree",
    "Scan the code that uses it too, or check it by hand.",
)
TERMINATED = Rule(
    "DX414",
    "terminated-pool",
    _W,
    "leaving the pool's with block kills what still runs; ours waits for it",
    "Fine if all results were read inside the block.",
)
RULES = (
    PRIVATE,
    SUBCLASS,
    CLASS_ESCAPES,
    POOL_ESCAPES,
    SERVER,
    TYPETEST,
    MP_CONTEXT,
    PATCHED,
    INITIALIZED,
    NO_COUNTERPART,
    BY_NAME,
    BOUND,
    UNUSED,
    TERMINATED,
)


def check(case: Case) -> Iterator[Finding]:
    """Find uses of the pool that ours does not have, or that cannot be followed."""
    yield from _uses(case)
    yield from _arguments(case)
    idle = all(use.kind == "shutdown" for use in case.life.uses)
    if not case.life.submissions and idle:
        yield case.finding(
            UNUSED,
            case.site.call,
            case.site.module,
            f"no submit or map was found for the pool of line {case.site.line}",
        )


def _uses(case: Case) -> Iterator[Finding]:
    line = case.site.line
    for use in case.life.uses:
        text = use.module.text(use.node).partition("\n")[0]
        if use.kind == "private":
            yield case.finding(
                PRIVATE,
                use.node,
                use.module,
                f"{text!r} is private to the standard pool of line {line}",
            )
        elif use.kind == "server":
            yield case.finding(
                SERVER,
                use.node,
                use.module,
                f"the pool of line {line} is given to {use.detail}(), which runs requests of "
                "this process",
            )
        elif use.kind == "escape":
            yield case.finding(
                POOL_ESCAPES,
                use.node,
                use.module,
                f"the pool of line {line} goes into {use.detail}, where it cannot be followed",
            )
        elif use.kind == "bound":
            yield case.finding(
                BOUND, use.node, use.module, f"{text!r} of the pool of line {line} is handed on"
            )
        elif use.kind == "getattr":
            yield case.finding(
                BY_NAME,
                use.node,
                use.module,
                f"an attribute of the pool of line {line} is picked by name",
            )
        elif use.kind == "typetest":
            yield case.finding(
                TYPETEST,
                use.node,
                use.module,
                f"the pool of line {line} is tested: {text!r}",
                Severity.WARNS,
            )
        elif use.kind in ("attribute", "method", "opaque"):
            yield case.finding(
                POOL_ESCAPES,
                use.node,
                use.module,
                f"{use.detail!r} of the pool of line {line} is not a method that we can follow",
            )


def _arguments(case: Case) -> Iterator[Finding]:
    call, module = case.site.call, case.site.module
    if any(isinstance(arg, ast.Starred) for arg in call.args) or any(
        k.arg is None for k in call.keywords
    ):
        yield case.finding(
            POOL_ESCAPES,
            call,
            module,
            f"the arguments of the pool of line {case.site.line} are not spelled out",
        )
    initializer = initializer_of(case.site)
    if initializer is not None:
        yield case.finding(
            INITIALIZED,
            initializer,
            module,
            f"the pool of line {case.site.line} prepares its workers with "
            f"{module.text(initializer)}",
        )
    for keyword in call.keywords:
        if keyword.arg in ("mp_context", "context") and not _is_none(keyword.value):
            yield case.finding(
                MP_CONTEXT,
                keyword.value,
                module,
                f"the pool of line {case.site.line} chooses its start method: "
                f"{module.text(keyword.value)}",
            )


def initializer_of(site: Site) -> ast.expr | None:
    """The initializer that a pool is given, by keyword or position."""
    call = site.call
    for keyword in call.keywords:
        if keyword.arg == "initializer":
            return None if _is_none(keyword.value) else keyword.value
    position = 1 if site.family == "pool" else 2
    if len(call.args) > position and not any(isinstance(a, ast.Starred) for a in call.args):
        value = call.args[position]
        return None if _is_none(value) else value
    return None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def class_findings(references: list[Reference], module: Module) -> Iterator[Finding]:
    """Findings about the class itself: subclasses, defaults, registries, type tests."""
    for reference in references:
        rule = {
            "base": SUBCLASS,
            "default": CLASS_ESCAPES,
            "escape": CLASS_ESCAPES,
            "typetest": TYPETEST,
        }.get(reference.role)
        if reference.role == "stay" and _is_getattr(reference.node, module):
            rule = BY_NAME
        if rule is None:
            continue
        line = reference.node.lineno
        text = module.text(reference.node)
        what = {
            "base": f"a class inherits from {text}",
            "default": f"{text} is a parameter's default",
            "escape": f"{text} is handed on as a value",
            "typetest": f"{text} is used in a type test",
            "stay": f"an executor class is picked by name from {text}",
        }[reference.role]
        yield Finding(
            code=rule.code,
            severity=rule.severity,
            place=Place(path=module.path, line=line, column=module.column(reference.node)),
            message=f"{what} on line {line}; it stays the standard library's",
            site_line=line,
            hint=rule.hint,
        )


def _is_getattr(node: ast.AST, module: Module) -> bool:
    up = module.names.parent.get(node)
    return isinstance(up, ast.Call) and isinstance(up.func, ast.Name) and up.func.id == "getattr"
