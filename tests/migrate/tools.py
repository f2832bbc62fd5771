"""Types of the fixtures, for the tests of the migration tool."""

from collections.abc import Callable
from pathlib import Path

from distexec.migrate.records import FileReport

Examine = Callable[..., tuple[str, FileReport]]
Tree = Callable[[dict[str, str]], Path]
Command = Callable[..., "Result"]


class Result:
    """Exit code and output of one run of the command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
