"""Follows effects through the calls of a function, and says how they are reached."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from distexec.migrate.effects.effect import Callee, Effect
from distexec.migrate.effects.reader import Reader
from distexec.migrate.project import Definition, Project
from distexec.migrate.scopes import Scope
from distexec.migrate.values import Values

_MAX_DEPTH = 6
_MAX_FUNCTIONS = 150
#: Kinds that concern an object that the function was given: they are its caller's, by then.
_ON_GIVEN = ("argument-write", "attribute-write")


@dataclass(slots=True)
class _Read:
    """One function, read."""

    direct: list[Effect]
    calls: list[Callee]
    reader: Reader
    #: The same, and what its callees do to what it gives them; made when first needed.
    lifted: list[Effect] | None = field(default=None)


class Effects:
    """Collects effects; each function is read once."""

    def __init__(self, project: Project, values: Values) -> None:
        self.project = project
        self.values = values
        self._known: dict[ast.AST, _Read] = {}

    def of(self, definition: Definition) -> list[Effect]:
        """Everything that calling *definition* does, callees included."""
        found: list[Effect] = []
        seen: set[ast.AST] = set()
        pending: list[tuple[Definition, tuple[str, ...], bool]] = [(definition, (), False)]
        while pending and len(seen) < _MAX_FUNCTIONS:
            current, chain, is_private = pending.pop(0)
            if isinstance(current.node, ast.ClassDef) or current.node in seen:
                continue
            seen.add(current.node)
            for effect in self._lifted(current, 0):
                if chain and _stays_inside(effect, definition, is_private):
                    continue
                found.append(replace(effect, chain=(*chain, *effect.chain)))
            if len(chain) < _MAX_DEPTH:
                for call in self._read(current).calls:
                    step = (*chain, _step(call, current))
                    pending.append((call.definition, step, call.is_private or is_private))
        return found

    def _lifted(self, definition: Definition, depth: int) -> list[Effect]:
        """What a function does itself, and through its callees to what it hands to them."""
        read = self._read(definition)
        if read.lifted is None:
            read.lifted = read.direct  # what a recursion sees
            if depth < _MAX_DEPTH:
                more = [
                    effect
                    for call in read.calls
                    for effect in self._through(call, definition, read.reader, depth)
                ]
                read.lifted = read.direct + more
        return read.lifted

    def _through(
        self, call: Callee, caller: Definition, reader: Reader, depth: int
    ) -> Iterator[Effect]:
        """The callee changes a parameter: which of the caller's objects is that?"""
        if isinstance(call.definition.node, ast.ClassDef):
            return
        own = call.receiver is not None and call.is_private
        for effect in self._lifted(call.definition, depth + 1):
            if effect.kind not in _ON_GIVEN or not effect.parameter:
                continue
            if effect.kind != "argument-write" and not own:
                continue  # self's own: reported where it happens
            given = call.argument_for(effect.parameter)
            if given is None or isinstance(given, ast.Constant):
                continue
            for mine in reader.of(given, call.node):
                yield replace(
                    mine,
                    module=effect.module,
                    node=effect.node,
                    chain=(_step(call, caller), *effect.chain),
                    in_doubt=mine.in_doubt or effect.in_doubt,
                )

    def _read(self, definition: Definition) -> _Read:
        known = self._known.get(definition.node)
        if known is None:
            reader = Reader(self.project, self.values, definition)
            direct = list(reader.effects())
            known = self._known[definition.node] = _Read(direct, reader.calls, reader)
        return known


def _stays_inside(effect: Effect, submitted: Definition, is_private: bool) -> bool:
    """Whether a callee's effect is on what the submitted function, or the callee, made itself."""
    if effect.kind == "argument-write":
        return True  # lifted to the caller, if it matters there
    if effect.kind == "attribute-write":
        return is_private
    return effect.home is not None and _is_within(effect.home, submitted)


def _is_within(scope: Scope | None, submitted: Definition) -> bool:
    own = submitted.module.names.scope_of.get(submitted.node)
    while scope is not None:
        if scope is own:
            return True
        scope = scope.parent
    return False


def _step(call: Callee, caller: Definition) -> str:
    line = getattr(call.node, "lineno", 0)
    return f"{call.definition.name}() called from {caller.name}() line {line}"
