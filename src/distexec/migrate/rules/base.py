"""What a rule is, and the case that rules look at: one site and all that was found out about it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from distexec.migrate.catalog import canonical
from distexec.migrate.effects.chains import Effects
from distexec.migrate.effects.effect import Effect
from distexec.migrate.life import Life, Submission
from distexec.migrate.pools import Site
from distexec.migrate.project import Definition, Module, Project, alternatives
from distexec.migrate.records import Finding, Place, Severity
from distexec.migrate.values import Values


@dataclass(frozen=True, slots=True)
class Rule:
    """One hazard: its code, how bad it is, and what to do."""

    code: str
    name: str
    severity: Severity
    #: What goes wrong, in one sentence.
    summary: str
    hint: str


@dataclass(frozen=True, slots=True)
class Target:
    """What one submission runs."""

    submission: Submission
    #: The callable with ``partial`` taken off.
    function: ast.expr
    arguments: tuple[ast.expr, ...]
    #: The function of the tree, if it is one.
    definition: Definition | None
    #: Names that it may have outside of the tree.
    dotted: frozenset[str]
    #: The object whose bound method is submitted.
    receiver: ast.expr | None = None

    @property
    def label(self) -> str:
        """How people call it."""
        text = self.submission.module.text(self.function)
        return "the lambda" if isinstance(self.function, ast.Lambda) else f"{text}()"


@dataclass(eq=False)
class Case:
    """One site under examination."""

    site: Site
    life: Life
    project: Project
    values: Values
    effects: Effects
    _effects: dict[ast.AST, list[Effect]] = field(default_factory=dict)

    @cached_property
    def targets(self) -> list[Target]:
        """Everything that is submitted to the pool."""
        return [
            target
            for submission in self.life.submissions
            for choice in alternatives(submission.function)
            for target in self._targets(submission, choice, submission.arguments, 0)
        ]

    def _targets(
        self, submission: Submission, function: ast.expr, arguments: tuple[ast.expr, ...], hops: int
    ) -> Iterator[Target]:
        module = submission.module
        dotted = frozenset(canonical(name) for name in self.project.dotted(function, module))
        if isinstance(function, ast.Call):
            made = {canonical(name) for name in self.project.dotted(function.func, module)}
            if made & {"functools.partial"} and function.args and hops < 4:
                bound = tuple(function.args[1:]) + tuple(k.value for k in function.keywords)
                yield from self._targets(submission, function.args[0], bound + arguments, hops + 1)
                return
        if isinstance(function, ast.Name) and hops < 4:
            scope = module.names.scope_at(function)
            bindings = module.names.bindings_of(function.id, scope)
            if (
                len(bindings) == 1
                and bindings[0].kind == "assign"
                and isinstance(bindings[0].value, ast.Call)
            ):
                yield from self._targets(submission, bindings[0].value, arguments, hops + 1)
                return
        definition = self.values.callee(function, module)
        receiver: ast.expr | None = None
        if definition is None or isinstance(definition.node, ast.ClassDef):
            owner = self.values.owner_of(function, module)
            call = self.project.method(owner, "__call__") if owner is not None else None
            if call is not None:
                definition, receiver = call, function
        if (
            receiver is None
            and isinstance(function, ast.Attribute)
            and not self._is_module_level(function, module, definition)
        ):
            receiver = function.value
        yield Target(submission, function, arguments, definition, dotted, receiver)

    def _is_module_level(
        self, function: ast.Attribute, module: Module, definition: Definition | None
    ) -> bool:
        """Whether ``a.b`` is a function of a module or class, rather than a method of an object."""
        if definition is not None and definition.owner is not None:
            marks = {getattr(m, "id", "") for m in getattr(definition.node, "decorator_list", ())}
            owner = self.project.definition(function.value, module)
            is_class = owner is not None and isinstance(owner.node, ast.ClassDef)
            return bool(marks & {"staticmethod", "classmethod"}) or is_class
        return definition is not None or bool(self.project.dotted(function, module))

    def effects_of(self, target: Target) -> list[Effect]:
        """What running *target* does."""
        if target.definition is None:
            return []
        known = self._effects.get(target.definition.node)
        if known is None:
            known = self._effects[target.definition.node] = self.effects.of(target.definition)
        return known

    def all_effects(self) -> Iterator[tuple[Target, Effect]]:
        """Every effect of everything submitted; of several on the same thing, the first."""
        seen: set[tuple[str, str, str]] = set()
        for target in self.targets:
            for effect in self.effects_of(target):
                key = (effect.kind, effect.module.path, effect.subject)
                if key not in seen:
                    seen.add(key)
                    yield target, effect

    def finding(
        self,
        rule: Rule,
        node: ast.AST,
        module: Module,
        message: str,
        severity: Severity | None = None,
    ) -> Finding:
        """Report *rule* at *node*."""
        return Finding(
            code=rule.code,
            severity=severity or rule.severity,
            place=Place(
                path=module.path, line=getattr(node, "lineno", 1), column=module.column(node)
            ),
            message=message,
            site_line=self.site.line,
            hint=rule.hint,
        )

    def at_effect(
        self,
        rule: Rule,
        target: Target,
        effect: Effect,
        what: str,
        severity: Severity | None = None,
    ) -> Finding:
        """Report *rule* where *effect* happens, with the way that leads there."""
        way = f" ({', '.join(effect.chain)})" if effect.chain else ""
        message = (
            f"{target.label}, submitted on line {target.submission.line}, {what}{way}; "
            f"the pool is made on line {self.site.line}"
        )
        return self.finding(rule, effect.node, effect.module, message, severity)
