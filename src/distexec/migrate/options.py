"""What the user asked for, on the command line and in ``[tool.distexec.migrate]``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any


class WrongUse(Exception):
    """The command or its configuration makes no sense; exit code 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that changes what a run does."""

    #: Also rewrite sites with warnings.
    unsafe: bool = False
    #: Codes that neither block nor warn.
    force: frozenset[str] = frozenset()
    #: Codes to report; all if empty. What is safe does not depend on it.
    select: frozenset[str] = frozenset()
    #: Codes not to report. What is safe does not depend on it.
    ignore: frozenset[str] = frozenset()
    #: Patterns of paths to skip, as in .gitignore.
    exclude: tuple[str, ...] = ()
    #: Turn distexec code back into concurrent.futures.
    revert: bool = False

    def reports(self, code: str) -> bool:
        """Whether findings of *code* are shown and counted."""
        return (not self.select or _matches(code, self.select)) and not _matches(code, self.ignore)


def _matches(code: str, chosen: frozenset[str]) -> bool:
    return any(code.startswith(prefix) for prefix in chosen)


_CODES = frozenset({"force", "select", "ignore"})


def from_pyproject(start: Path, base: Options) -> tuple[Options, Path | None]:
    """Add the settings of the nearest ``pyproject.toml`` above *start* to *base*.

    Raises:
        WrongUse: It has a section for us with something in it that we do not know.
    """
    folder = start if start.is_dir() else start.parent
    for candidate in (folder.resolve(), *folder.resolve().parents):
        path = candidate / "pyproject.toml"
        if path.is_file():
            try:
                data = tomllib.loads(path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise WrongUse(f"{path}: {error}") from error
            section = data.get("tool", {}).get("distexec", {}).get("migrate")
            return (_merge(section, base, path), path) if section is not None else (base, None)
    return base, None


def _merge(section: Any, base: Options, path: Path) -> Options:
    if not isinstance(section, Mapping):
        raise WrongUse(f"{path}: [tool.distexec.migrate] is no table")
    known = {field.name for field in fields(Options)} - {"revert"}
    changes: dict[str, Any] = {}
    for key, value in section.items():
        if key not in known:
            raise WrongUse(f"{path}: [tool.distexec.migrate] has no setting {key!r}")
        if key == "unsafe":
            if not isinstance(value, bool):
                raise WrongUse(f"{path}: {key} must be true or false")
            changes[key] = value or base.unsafe
        elif not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise WrongUse(f"{path}: {key} must be a list of strings")
        elif key in _CODES:
            changes[key] = frozenset(value) | getattr(base, key)
        else:
            changes[key] = tuple(value) + base.exclude
    return replace(base, **changes)
