"""References by the import that they go through: an import changes for all of them, or not."""

from dataclasses import dataclass

from distexec.migrate.catalog import EXECUTORS, MIRRORED
from distexec.migrate.pools import Reference
from distexec.migrate.scopes import Binding, Scope

#: Roles that may go along when a whole import goes to distexec.
FOLLOWERS = frozenset({"annotation", "typetest", "neutral"})


@dataclass(slots=True)
class Group:
    """All references that go through one imported variable."""

    name: str
    home: Scope | None
    references: list[Reference]
    bindings: list[Binding]

    @property
    def moving(self) -> list[Reference]:
        """The references that go to distexec."""
        return [reference for reference in self.references if reference.moves]

    @property
    def can_swap(self) -> bool:
        """Whether every use may go to distexec, so that only the import changes."""
        return all(
            (
                reference.moves
                and all(EXECUTORS[target][1] == "futures" for target in reference.targets)
            )
            or (
                not reference.moves
                and reference.role in FOLLOWERS
                and _is_mirrored(reference.target)
            )
            for reference in self.references
        )

    @property
    def is_in_class(self) -> bool:
        """Whether the import is in the body of a class."""
        return self.home is not None and self.home.kind == "class"


def _is_mirrored(target: str) -> bool:
    head, _, tail = target.rpartition(".")
    return head == "concurrent.futures" and tail in MIRRORED
