"""DX1xx: writes to memory that the caller shares with a thread, and not with another process."""

import ast
from collections.abc import Iterator

from distexec.migrate.catalog import MUTATORS
from distexec.migrate.effects.effect import Effect
from distexec.migrate.project import root_name
from distexec.migrate.records import Finding, Severity
from distexec.migrate.rules.arguments import arguments_for, default_of, is_fresh, used_after
from distexec.migrate.rules.base import Case, Rule, Target
from distexec.migrate.rules.handling import initializer_of

_B, _W = Severity.BLOCKS, Severity.WARNS
_RETURN = "Return the value from the function and combine the results where you read the futures."

CLOSURE = Rule(
    "DX101", "closure-write", _B, "writes to a variable of the enclosing function", _RETURN
)
GLOBAL = Rule("DX102", "global-write", _B, "writes to a module global", _RETURN)
NONLOCAL = Rule("DX103", "nonlocal-write", _B, "rebinds a nonlocal variable", _RETURN)
ATTRIBUTE = Rule(
    "DX104",
    "attribute-write",
    _B,
    "writes to an attribute of self",
    "Return the new value and assign it to self where you read the future.",
)
CLASS = Rule(
    "DX105",
    "class-write",
    _B,
    "writes to a class-level store",
    "Return the value, and update the class where you read the future.",
)
ARGUMENT = Rule(
    "DX106",
    "argument-mutation",
    _B,
    "changes an argument that the caller uses afterwards",
    "Return the changed object and use the returned one.",
)
MAYBE_ARGUMENT = Rule(
    "DX107",
    "argument-mutation-unclear",
    _W,
    "changes an argument; the caller may rely on it",
    "Return the changed object, or make sure nobody looks at the original.",
)
LAZY = Rule(
    "DX108",
    "lazy-global",
    _W,
    "fills a global cache on first use; each worker fills its own",
    "Fine if filling it is cheap and repeatable; otherwise compute it once and pass it.",
)
INITIALIZER = Rule(
    "DX109",
    "initializer-fills-globals",
    _W,
    "the initializer fills globals that the function reads",
    "Works while workers are not shared by programs; passing the value as an argument is safer.",
)
READS = Rule(
    "DX110",
    "filled-global",
    _W,
    "reads a global that this process fills at run time",
    "Pass the value as an argument; a worker imports the module and sees only its first value.",
)
MAYBE = Rule(
    "DX111",
    "shared-write-unclear",
    _W,
    "calls a changing method on a shared object of unknown type",
    "If the object is shared state, return the change instead; if not, ignore this code here.",
)
POLLS = Rule(
    "DX112",
    "polled-flag",
    _B,
    "waits in a loop for a variable that another function changes; the worker's copy never changes",
    "Cancel the future, or use a flag that the worker can see: a file, a key of a server.",
)
RULES = (
    CLOSURE,
    GLOBAL,
    NONLOCAL,
    ATTRIBUTE,
    CLASS,
    ARGUMENT,
    MAYBE_ARGUMENT,
    LAZY,
    INITIALIZER,
    READS,
    MAYBE,
    POLLS,
)

#: Calls away from the submitted function at which a write is more often a cache than a result.
_FAR = 3

_WRITES = {
    "closure-write": (CLOSURE, "writes to {!r} of the enclosing function"),
    "global-write": (GLOBAL, "writes to the global {!r}"),
    "nonlocal-write": (NONLOCAL, "rebinds the nonlocal {!r}"),
    "attribute-write": (ATTRIBUTE, "writes to {!r}"),
    "class-write": (CLASS, "writes to {!r}, which all instances share"),
}


def check(case: Case) -> Iterator[Finding]:
    """Find writes that would be lost."""
    filled = _initializer_globals(case)
    if not case.site.only_processes:
        for target in case.targets:
            yield from _bound_mutator(case, target)
    for target, effect in case.all_effects():
        if effect.kind == "reads":
            yield from _reads(case, target, effect, filled)
        elif case.site.only_processes:
            # The program already lives with separate memory here.
            continue
        elif effect.kind in _WRITES:
            rule, what = _WRITES[effect.kind]
            if effect.in_doubt or len(effect.chain) >= _FAR:
                rule, what = MAYBE, "may change the shared {!r}"
            yield case.at_effect(rule, target, effect, what.format(effect.subject))
        elif effect.kind == "lazy-write":
            yield case.at_effect(
                LAZY, target, effect, f"fills the global {effect.subject!r} on first use"
            )
        elif effect.kind == "remembers":
            what = f"remembers results by {effect.subject!r}, in each worker for itself"
            asked = effect.module.names.attributes.keys() & {"cache_info", "cache_clear"}
            yield case.at_effect(LAZY, target, effect, what, _W if asked else Severity.INFORMS)
        elif effect.kind == "polls":
            what = (
                f"looks again and again at {effect.subject!r}, which line {effect.elsewhere} sets"
            )
            yield case.at_effect(POLLS, target, effect, what, _W if effect.in_doubt else None)
        elif effect.kind == "argument-write":
            yield from _argument(case, target, effect)


def _bound_mutator(case: Case, target: Target) -> Iterator[Finding]:
    """``pool.map(results.append, ...)``: the submitted method itself is the write."""
    function, module = target.function, target.submission.module
    if (
        target.receiver is None
        or not isinstance(function, ast.Attribute)
        or function.attr not in MUTATORS
    ):
        return
    values = case.values.of(target.receiver, module)
    root = root_name(target.receiver)
    if root is not None and any(value.kind == "container" for value in values):
        home = module.names.scope_at(root).lookup(root.id)
        rule = GLOBAL if home is not None and home.parent is None else CLOSURE
        text = module.text(target.receiver)
        yield case.finding(
            rule,
            function,
            module,
            f"{target.label}, submitted on line {target.submission.line} to the pool of line "
            f"{case.site.line}, changes {text!r}, which stays as it was here",
        )


def _argument(case: Case, target: Target, effect: Effect) -> Iterator[Finding]:
    what = f"changes its argument {effect.subject!r}"
    arguments = list(arguments_for(target, effect.parameter))
    if not arguments and isinstance(default_of(target, effect.parameter), ast.Constant):
        return  # None, most often, and a new object in the function
    for argument in arguments:
        used = used_after(target, argument)
        values = case.values.of(argument, target.submission.module)
        in_doubt = effect.in_doubt and not any(value.kind == "container" for value in values)
        if used is not None and not in_doubt:
            what += f", and line {used.lineno} uses it afterwards"
            yield case.at_effect(ARGUMENT, target, effect, what)
            return
        if is_fresh(argument, target.submission.module, case.project):
            # Made for this call: nobody else can see the change.
            return
    yield case.at_effect(MAYBE_ARGUMENT, target, effect, what)


def _reads(case: Case, target: Target, effect: Effect, filled: set[str]) -> Iterator[Finding]:
    name = effect.subject
    if name in filled:
        yield case.at_effect(
            INITIALIZER, target, effect, f"reads {name!r}, which the initializer fills"
        )
        return
    bindings = effect.module.names.root.bindings.get(name, ())
    first = next(
        (b.value for b in bindings if b.scope.parent is None and b.value is not None), None
    )
    is_empty = isinstance(first, ast.Constant) and first.value is None
    yield case.at_effect(
        READS,
        target,
        effect,
        f"reads the global {name!r}, which is filled at run time",
        Severity.BLOCKS if is_empty and not _fills_itself(case, target, name) else None,
    )


def _fills_itself(case: Case, target: Target, name: str) -> bool:
    kinds = ("lazy-write", "global-write")
    return any(e.kind in kinds and e.subject == name for e in case.effects_of(target))


def _initializer_globals(case: Case) -> set[str]:
    """Globals that the pool's initializer assigns."""
    definition = case.values.callee(initializer_of(case.site), case.site.module)
    if definition is None:
        return set()
    kinds = ("global-write", "lazy-write")
    return {e.subject for e in case.effects.of(definition) if e.kind in kinds}
