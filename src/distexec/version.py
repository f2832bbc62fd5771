"""The version of the package, and how it was built, in one place."""

import importlib.util

__version__ = "0.1.0"


def is_compiled() -> bool:
    """Whether the modules that every call passes are compiled: see docs/decisions/0010."""
    module = importlib.util.find_spec("distexec.wire.codec")
    return module is not None and not str(module.origin).endswith(".py")
