"""What is found out about a function: its effects, and what it calls."""

import ast
from dataclasses import dataclass

from distexec.migrate.project import Definition, Module
from distexec.migrate.scopes import Scope
from distexec.migrate.values import Value


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a function does outside of itself."""

    #: closure-write, global-write, nonlocal-write, attribute-write, class-write, argument-write,
    #: lazy-write, uses (a resource), reads (a global filled elsewhere), polls (a variable that
    #: others change), remembers (its results), runs (its argument), submits, or a kind of the
    #: catalog.
    kind: str
    #: What it is done to: ``results``, ``self.count``, ``os.chdir()``.
    subject: str
    module: Module
    node: ast.AST
    #: Functions on the way from the submitted one to here, with the line of each call.
    chain: tuple[str, ...] = ()
    #: For a resource: what it is.
    value: Value | None = None
    #: We only suspect it: the object's type is not known.
    in_doubt: bool = False
    #: For argument-write: the parameter.
    parameter: str = ""
    #: The scope of the variable, if it is that of an enclosing function.
    home: Scope | None = None
    #: For polls: where it is changed.
    elsewhere: int = 0

    @property
    def line(self) -> int:
        """Where it happens."""
        line: int = getattr(self.node, "lineno", 1)
        return line


@dataclass(frozen=True, slots=True)
class Callee:
    """A call, or the reading of a property, and what it runs."""

    node: ast.expr
    definition: Definition
    #: It is a method of an object that the caller made, or was given.
    is_private: bool = False
    #: The object whose method it is, as the caller names it.
    receiver: ast.expr | None = None

    def argument_for(self, parameter: str) -> ast.expr | None:
        """The expression that *parameter* gets here; ``None`` if there is none, or no telling."""
        if isinstance(self.definition.node, ast.ClassDef) or not isinstance(self.node, ast.Call):
            return None
        arguments = self.definition.node.args
        names = [arg.arg for arg in [*arguments.posonlyargs, *arguments.args]]
        if self.receiver is not None and self.definition.owner is not None and names:
            if parameter == names[0]:
                return self.receiver
            names = names[1:]
        for keyword in self.node.keywords:
            if keyword.arg == parameter:
                return keyword.value
        given = self.node.args
        position = names.index(parameter) if parameter in names else len(given)
        if position >= len(given) or any(isinstance(a, ast.Starred) for a in given[: position + 1]):
            return None
        return given[position]
