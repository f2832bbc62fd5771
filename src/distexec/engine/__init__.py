"""The only room that imports Celery: app, lease task, node, embedded cluster.

``celery -A distexec.engine worker`` and `install` find what they need here; it is imported when
asked for, so that importing this package stays cheap.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distexec.engine.existing import install

__all__ = ["install"]


def __getattr__(name: str) -> Any:
    value: Any
    if name == "celery":  # The name that ``celery -A`` looks for.
        from distexec.engine.app import app_of_environment

        value = app_of_environment()
    elif name == "install":
        from distexec.engine import existing

        value = existing.install
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
