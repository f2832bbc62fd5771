"""What the compiler is told of a class: see docs/decisions/0010."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_: bool) -> Callable[[type], type]:
        """Do nothing: the compiler knows its own by name, and that package is not needed to run."""
        return lambda cls: cls
