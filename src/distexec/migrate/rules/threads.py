"""DX3xx: code for which it matters that a call runs on a thread of this very process."""

import ast
import re
from collections.abc import Iterator

from distexec.migrate.records import Finding, Severity
from distexec.migrate.rules.base import Case, Rule, Target
from distexec.migrate.text import Source

_B, _W, _I = Severity.BLOCKS, Severity.WARNS, Severity.INFORMS

CONFINEMENT = Rule(
    "DX301",
    "thread-confinement",
    _B,
    "one long-lived thread that guards something which is not thread-safe",
    "Leave it: mark the line with '# distexec: local'.",
)
ONE_WORKER = Rule(
    "DX302",
    "one-worker",
    _W,
    "max_workers=1 may be meant as a lock or as one particular thread",
    "If only the order matters, rewrite it; if the thread matters, mark it '# distexec: local'.",
)
CONTEXT = Rule(
    "DX303",
    "context-variables",
    _B,
    "carries or reads context variables of this process",
    "Read the variable before submitting and pass its value.",
)
LOCAL = Rule(
    "DX304",
    "thread-local",
    _W,
    "uses a threading.local, which each worker has its own of",
    "Fine as a cache of connections; pass values that the caller set.",
)
IDENTITY = Rule(
    "DX305",
    "thread-identity",
    _W,
    "looks at the current thread, its name or its ident",
    "Thread names and idents are those of the worker; use the call's arguments to tell calls "
    "apart.",
)
BRIDGE = Rule(
    "DX306",
    "asyncio-bridge",
    _B,
    "bridges to asyncio: a coroutine or event loop crosses threads",
    "Submit the async function itself with its arguments, or keep the pool local.",
)
DEFAULT = Rule(
    "DX307",
    "default-executor",
    _B,
    "becomes the event loop's default executor, which must be the stdlib's",
    "Leave it: loop.set_default_executor takes nothing else. Pass ours to run_in_executor instead.",
)
LOOP = Rule(
    "DX308",
    "run-in-executor",
    _I,
    "is awaited through run_in_executor, which works with our executor",
    "Nothing to do; cancelling the awaitable cancels the call only before it starts.",
)
SIGNAL = Rule(
    "DX309",
    "signals",
    _W,
    "uses signals or timers of the process it runs in",
    "They would act on the worker; use the timeout= option of the executor.",
)
RULES = (CONFINEMENT, ONE_WORKER, CONTEXT, LOCAL, IDENTITY, BRIDGE, DEFAULT, LOOP, SIGNAL)

_SAYS_SO = re.compile(
    r"thread.?safe|single.?thread|one thread|same thread|dedicated thread|serial|confin|not "
    r"reentrant",
    re.I,
)


def check(case: Case) -> Iterator[Finding]:
    """Find dependence on threads, event loops and contexts."""
    if case.site.only_processes:
        return
    yield from _one_worker(case)
    for use in case.life.uses:
        if use.kind == "default-executor":
            yield case.finding(
                DEFAULT,
                use.node,
                use.module,
                f"the pool of line {case.site.line} becomes the loop's default executor on line "
                f"{getattr(use.node, 'lineno', 0)}; asyncio accepts only the standard "
                "ThreadPoolExecutor",
            )
    for target in case.targets:
        yield from _bridges(case, target)
        if target.submission.how == "run":
            yield case.finding(
                LOOP,
                target.submission.call,
                target.submission.module,
                f"{target.label} runs through run_in_executor on the pool of line {case.site.line}",
            )
    yield from _in_functions(case)


def _one_worker(case: Case) -> Iterator[Finding]:
    call, module = case.site.call, case.site.module
    count = next((k.value for k in call.keywords if k.arg in ("max_workers", "processes")), None)
    if count is None and call.args:
        count = call.args[0]
    if not (isinstance(count, ast.Constant) and count.value == 1):
        return
    comment = _nearby_comments(module.source, call)
    named = any(k.arg == "thread_name_prefix" for k in call.keywords)
    if case.life.is_kept or named or _SAYS_SO.search(comment):
        yield case.finding(
            CONFINEMENT,
            call,
            module,
            f"the one thread of the pool on line {case.site.line} outlives its calls"
            + (" and has a name" if named else "")
            + "; something may rely on always being used from that thread",
        )
    else:
        yield case.finding(
            ONE_WORKER,
            call,
            module,
            f"max_workers=1 on line {case.site.line}: calls stay in order, but not on one thread",
        )


def _nearby_comments(source: Source, call: ast.Call) -> str:
    first = max(1, call.lineno - 3)
    last = min(len(source.starts), (call.end_lineno or call.lineno) + 1)
    lines = (source.line(number) for number in range(first, last + 1))
    return "\n".join(line.partition("#")[2] for line in lines)


def _bridges(case: Case, target: Target) -> Iterator[Finding]:
    module = target.submission.module
    bridge = target.dotted & {
        "asyncio.run",
        "anyio.run",
        "trio.run",
        "asyncio.run_coroutine_threadsafe",
    }
    if bridge or (
        isinstance(target.function, ast.Attribute) and target.function.attr == "run_until_complete"
    ):
        yield case.finding(
            BRIDGE,
            target.function,
            module,
            f"{module.text(target.function)} with a coroutine is submitted on line "
            f"{target.submission.line} to the pool of line {case.site.line}; a coroutine "
            "cannot be sent",
        )
    if any(name.startswith("contextvars.") for name in target.dotted) or _is_context_run(
        case, target
    ):
        yield case.finding(
            CONTEXT,
            target.function,
            module,
            f"{target.label} on line {target.submission.line} runs in a copied context, which "
            "cannot "
            f"be sent from the pool of line {case.site.line}",
        )


def _is_context_run(case: Case, target: Target) -> bool:
    if target.receiver is None or not isinstance(target.function, ast.Attribute):
        return False
    values = case.values.of(target.receiver, target.submission.module)
    return target.function.attr == "run" and any(value.kind == "contextvar" for value in values)


def _in_functions(case: Case) -> Iterator[Finding]:
    for target, effect in case.all_effects():
        what = f"calls {effect.subject}"
        if effect.kind in ("asyncio", "asyncio-run"):
            # Running its own loop inside the call is fine unless it reaches back into ours.
            own_loop = effect.kind == "asyncio-run" and not isinstance(target.function, ast.Lambda)
            yield case.at_effect(BRIDGE, target, effect, what, Severity.WARNS if own_loop else None)
        elif effect.kind == "identity":
            yield case.at_effect(IDENTITY, target, effect, what)
        elif effect.kind == "signal":
            yield case.at_effect(SIGNAL, target, effect, what)
        elif effect.kind == "context":
            yield case.at_effect(CONTEXT, target, effect, what, Severity.WARNS)
        elif effect.kind == "uses" and effect.value is not None:
            if effect.value.kind == "thread-local":
                yield case.at_effect(
                    LOCAL, target, effect, f"uses {effect.subject!r}, a threading.local"
                )
            elif effect.value.kind == "contextvar":
                yield case.at_effect(
                    CONTEXT,
                    target,
                    effect,
                    f"uses the context variable {effect.subject!r}",
                    Severity.WARNS,
                )
