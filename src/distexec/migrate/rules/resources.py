"""DX2xx: things that cannot travel to another process, or lose there what they stand for."""

import ast
from collections.abc import Iterator

from distexec.migrate.catalog import KINDS
from distexec.migrate.project import Module, own_nodes
from distexec.migrate.records import Finding, Severity
from distexec.migrate.rules.base import Case, Rule, Target
from distexec.migrate.values import Value

_B, _W = Severity.BLOCKS, Severity.WARNS
_INSIDE = "Open it inside the function, so that each worker has its own."

LOCK = Rule(
    "DX201",
    "lock",
    _B,
    "uses a lock, event, semaphore or condition of this process",
    "Return results instead of sharing state; then no lock is needed.",
)
QUEUE = Rule(
    "DX202",
    "queue",
    _B,
    "uses a queue of this process",
    "Return results, and feed the queue where you read the futures.",
)
THREAD = Rule(
    "DX203", "thread", _B, "uses a thread, process, event loop or future of this process", _INSIDE
)
SOCKET = Rule("DX204", "socket", _B, "uses an open socket or connection", _INSIDE)
FILE = Rule("DX205", "open-file", _B, "uses an open file or progress bar of this process", _INSIDE)
GENERATOR = Rule(
    "DX206",
    "generator",
    _B,
    "is given a generator or coroutine, which cannot be pickled",
    "Pass a list, or the arguments to make it from.",
)
DATABASE = Rule("DX207", "database", _B, "uses a database connection, session or engine", _INSIDE)
CLIENT = Rule("DX208", "client", _B, "uses a live API, HTTP or browser client", _INSIDE)
MODEL = Rule(
    "DX209",
    "model",
    _W,
    "uses a loaded model, which would be sent with each call",
    "Load the model in the worker (in a function with a cache), or send it once with put().",
)
RESULT = Rule(
    "DX210",
    "unpicklable-result",
    _B,
    "returns something that cannot be sent back",
    "Return plain data: read the file, list the generator, fetch the rows.",
)
OWN_EXECUTOR = Rule(
    "DX211",
    "executor-in-self",
    _B,
    "submits a method of an object that holds an executor",
    "Submit a function instead of a method, or leave the executor out in __getstate__.",
)
EXECUTOR = Rule(
    "DX212",
    "captured-executor",
    _B,
    "uses an executor of this process from inside a call",
    "Make an executor inside the function, or submit the inner calls from outside.",
)
GUESSED = Rule(
    "DX213",
    "suspect-argument",
    _W,
    "is given something that, by its name, may not travel",
    "If it is plain data, ignore this code here; otherwise open it inside the function.",
)
OPAQUE_SELF = Rule(
    "DX214",
    "unknown-base",
    _W,
    "submits a method of an object, and we cannot see all that it holds or inherits",
    "Make sure the object can be pickled, or submit a plain function.",
)
SESSION = Rule(
    "DX215",
    "http-session",
    _W,
    "uses an HTTP session, which each worker would get a copy of",
    "Works, without the shared connections and cookies; a session for each worker is faster.",
)
MANAGER = Rule(
    "DX216",
    "manager-proxy",
    _W,
    "uses a multiprocessing.Manager proxy, whose address is local",
    "It works on one machine only; use a server that all machines reach.",
)
WEAK = Rule(
    "DX217",
    "weak-reference",
    _B,
    "uses a weak reference, which cannot be pickled",
    "Pass the object itself, or what the function needs of it.",
)
RULES = (
    LOCK,
    QUEUE,
    THREAD,
    SOCKET,
    FILE,
    GENERATOR,
    DATABASE,
    CLIENT,
    MODEL,
    RESULT,
    OWN_EXECUTOR,
    EXECUTOR,
    GUESSED,
    OPAQUE_SELF,
    SESSION,
    MANAGER,
    WEAK,
)

_BY_KIND = {
    "lock": LOCK,
    "queue": QUEUE,
    "thread": THREAD,
    "socket": SOCKET,
    "file": FILE,
    "generator": GENERATOR,
    "coroutine": GENERATOR,
    "database": DATABASE,
    "client": CLIENT,
    "session": SESSION,
    "model": MODEL,
    "executor": EXECUTOR,
    "manager": MANAGER,
    "weak": WEAK,
}
#: Made again when a worker imports the module, so a global one is each worker's own.
_REMADE = {"database", "client", "session", "model", "socket", "file"}


def check(case: Case) -> Iterator[Finding]:
    """Find what cannot travel in the function, its arguments, its object and its result."""
    for target in case.targets:
        yield from _arguments(case, target)
        yield from _receiver(case, target)
        yield from _result(case, target)
    if not case.site.only_processes:
        yield from _used(case)


def _arguments(case: Case, target: Target) -> Iterator[Finding]:
    module = target.submission.module
    for argument in target.arguments:
        if isinstance(argument, ast.GeneratorExp) and target.submission.how == "map":
            continue
        text = module.text(argument)
        for value in case.values.culprits(argument, module):
            if (
                target.submission.how == "map"
                and value.kind in ("generator", "file", "database")
                and not value.path
            ):
                # map iterates it here; only its items travel.
                continue
            if case.site.only_processes and not value.guessed and value.kind != "manager":
                continue
            yield from _culprit(case, target, argument, module, value, f"is given {text!r}")


def _receiver(case: Case, target: Target) -> Iterator[Finding]:
    if target.receiver is None or case.site.only_processes:
        return
    module = target.submission.module
    text = module.text(target.receiver)
    values = case.values.of(target.receiver, module)
    owner = case.values.owner_of(target.receiver, module)
    for value in values:
        if value.is_resource:
            yield from _culprit(
                case, target, target.receiver, module, value, f"is a method of {text!r}"
            )
    if owner is None:
        return
    for value in case.values.inside(owner):
        if value.kind == "executor":
            yield case.finding(
                OWN_EXECUTOR,
                target.function,
                module,
                f"{target.label} is a method of {text!r}, which holds an executor in "
                f"{text + value.path!r} (line {value.line}); it would be pickled with each call",
            )
        else:
            yield from _culprit(
                case, target, target.receiver, module, value, f"is a method of {text!r}"
            )
    if not case.values.pickles_itself(owner):
        for value in case.values.unknown_inside(owner):
            yield case.finding(
                OPAQUE_SELF,
                target.function,
                module,
                f"{target.label} belongs to class {owner.name} (line {owner.line}), whose "
                "objects hold "
                f"{value.label} in {value.path!r} (line {value.line}); it may not pickle",
            )
    unknown = _unknown_base(case, owner.module, owner.node)
    if unknown and not case.values.pickles_itself(owner):
        yield case.finding(
            OPAQUE_SELF,
            target.function,
            module,
            f"{target.label} belongs to class {owner.name} (line {owner.line}), whose base "
            f"{unknown} is "
            "not in the scanned tree; its objects may not pickle",
        )


def _unknown_base(case: Case, module: Module, node: ast.AST) -> str:
    plain = {
        "builtins.object",
        "abc.ABC",
        "typing.Protocol",
        "typing.NamedTuple",
        "typing.Generic",
        "enum.Enum",
        "pydantic.BaseModel",
        "builtins.Exception",
        "unittest.TestCase",
    }
    if isinstance(node, ast.ClassDef):
        for base in node.bases:
            head = base.value if isinstance(base, ast.Subscript) else base
            is_known = case.project.definition(head, module) is not None
            if not is_known and not case.project.dotted(head, module) & plain:
                return module.text(head)
    return ""


def _used(case: Case) -> Iterator[Finding]:
    """Resources that the function's body reaches: captured, global or of self."""
    for target, effect in case.all_effects():
        value = effect.value
        if effect.kind != "uses" or value is None or value.kind not in _BY_KIND:
            continue
        if _with_receiver(case, target) and effect.subject.startswith("self."):
            # Reported with the object that is submitted.
            continue
        home = effect.module.names.root.bindings.get(effect.subject.partition(".")[0])
        severity = None
        if (
            value.kind in _REMADE
            and home
            and not effect.subject.startswith("self")
            and not _is_script(effect.module)
        ):
            severity = Severity.WARNS
        yield case.at_effect(
            _BY_KIND[value.kind],
            target,
            effect,
            f"uses {effect.subject!r}, {_made(value)}",
            severity,
        )


def _with_receiver(case: Case, target: Target) -> bool:
    """Whether the object that is submitted is reported with all that is in it."""
    if target.receiver is None:
        return False
    owner = case.values.owner_of(target.receiver, target.submission.module)
    return owner is not None and not case.values.pickles_itself(owner)


def _is_script(module: Module) -> bool:
    """Whether the module runs as ``__main__``, whose globals travel with each function."""
    return "__main__" in module.source.text


def _made(value: Value) -> str:
    return f"{value.label} of line {value.line}"


def _culprit(
    case: Case, target: Target, node: ast.AST, module: Module, value: Value, how: str
) -> Iterator[Finding]:
    rule = GUESSED if value.guessed else _BY_KIND.get(value.kind)
    if rule is None:
        return
    where = f" (in {value.path!r})" if value.path else ""
    if value.guessed:
        message = f"{target.label} {how}; by its name it may be a {value.kind} that cannot be sent"
    else:
        what = f"which {'holds' if value.path else 'is'} {_made(value)}{where}"
        blocks = rule.severity is Severity.BLOCKS
        message = f"{target.label} {how}, {what}; " + (
            "it cannot be sent" if blocks else rule.summary
        )
    message += f" (submitted on line {target.submission.line} to the pool of line {case.site.line})"
    yield case.finding(rule, node, module, message)


def _result(case: Case, target: Target) -> Iterator[Finding]:
    definition = target.definition
    if definition is None:
        for name in target.dotted:
            if KINDS.get(name) in ("file", "socket", "database", "client", "lock"):
                yield case.finding(
                    RESULT,
                    target.function,
                    target.submission.module,
                    f"{target.label} returns a live {KINDS[name]} object, which cannot be sent "
                    "back",
                )
        return
    if isinstance(definition.node, ast.ClassDef) or case.site.only_processes:
        return
    if isinstance(definition.node, ast.Lambda | ast.AsyncFunctionDef):
        returns = [definition.node.body] if isinstance(definition.node, ast.Lambda) else []
    else:
        returns = [
            node.value
            for node in own_nodes(definition.node)
            if isinstance(node, ast.Return) and node.value is not None
        ]
    for value_node in returns:
        if isinstance(value_node, ast.Lambda):
            continue
        for value in case.values.culprits(value_node, definition.module):
            if value.guessed or value.kind in ("model", "session"):
                continue
            yield case.finding(
                RESULT,
                value_node,
                definition.module,
                f"{target.label}, submitted on line {target.submission.line}, returns "
                f"{value.label}, "
                "which cannot be sent back",
            )
            break
