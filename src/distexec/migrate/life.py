"""The life of one pool: what is submitted to it, what else is done with it, and its futures."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from distexec.migrate.project import Module
from distexec.migrate.scopes import FUNCTIONS, Scope


@dataclass(frozen=True, slots=True)
class Submission:
    """One ``submit``, ``map`` or ``run_in_executor`` on the pool."""

    #: submit, map, run, apply
    how: str
    call: ast.Call
    module: Module
    function: ast.expr
    arguments: tuple[ast.expr, ...]
    #: Name of the method called.
    method: str

    @property
    def line(self) -> int:
        """Line of the call."""
        return self.call.lineno


@dataclass(frozen=True, slots=True)
class Use:
    """Something else that is done with the pool."""

    #: shutdown, private, escape, server, default-executor, bound, bridge, method, getattr, typetest
    kind: str
    node: ast.AST
    module: Module
    #: The attribute, callee or place it goes to.
    detail: str = ""


@dataclass(slots=True)
class Life:
    """The pool's whole life, as far as it can be followed."""

    submissions: list[Submission] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    #: Bare names under which other modules can reach the pool.
    exported: set[str] = field(default_factory=set)
    #: Attributes that hold it, with their class.
    attributes: set[tuple[str, ast.ClassDef | None]] = field(default_factory=set)
    #: Local variables that hold it.
    variables: set[tuple[str, Scope]] = field(default_factory=set)
    #: It outlives the function that makes it.
    is_kept: bool = False


def callbacks(submission: Submission) -> Iterator[ast.expr]:
    """Functions given to ``add_done_callback`` on the futures of *submission*."""
    module = submission.module
    up = module.names.parent.get(submission.call)
    if isinstance(up, ast.Attribute) and up.attr == "add_done_callback":
        call = module.names.parent.get(up)
        if isinstance(call, ast.Call) and call.args:
            yield call.args[0]
    for name, scope in futures_of(submission):
        for use in module.names.names_of(name, scope):
            attribute = module.names.parent.get(use)
            if isinstance(attribute, ast.Attribute) and attribute.attr == "add_done_callback":
                call = module.names.parent.get(attribute)
                if isinstance(call, ast.Call) and call.args:
                    yield call.args[0]


def futures_of(submission: Submission) -> Iterator[tuple[str, Scope]]:
    """Variables that hold the future, or the collection, that *submission* gives."""
    module = submission.module
    for up in module.names.ancestors(submission.call):
        if isinstance(up, ast.Assign | ast.AnnAssign):
            targets = up.targets if isinstance(up, ast.Assign) else [up.target]
            for target in targets:
                base: ast.AST = target
                while isinstance(base, ast.Subscript):
                    base = base.value
                if isinstance(base, ast.Name):
                    scope = module.names.scope_at(base)
                    yield base.id, scope.lookup(base.id) or scope
            return
        if isinstance(up, (ast.stmt, *FUNCTIONS)):
            return
