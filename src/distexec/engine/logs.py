"""Where the records of Celery and ours go: a file or stderr, never the loggers of the user."""

import logging
import sys
import warnings
from typing import Any

#: Everything that a node logs is logged below one of these. billiard's logger has its old name.
_OURS = ("celery", "kombu", "multiprocessing", "distexec")

_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


def to_file(path: str, level: int = logging.INFO) -> None:
    """Append to the file at *path*: an embedded node shares stdout and stderr with its caller."""
    _send(logging.FileHandler(path, encoding="utf-8"), level)


def to_stderr(level: int = logging.INFO) -> None:
    """Write to stderr: a node that somebody started by hand or as a service."""
    _send(logging.StreamHandler(sys.stderr), level)


def to_stderr_as_celery_asks(loglevel: int | None = None, **_: Any) -> None:
    """Receive Celery's ``setup_logging``, after which it leaves the root logger alone."""
    to_stderr(loglevel or logging.WARNING)


def leave_alone(**_: Any) -> None:
    """Receive Celery's ``setup_logging`` where logging is arranged already."""


def keep_warnings() -> None:
    """Undo that Celery turns warnings into log records: a call's warnings are the user's."""
    logging.captureWarnings(False)
    # Its deprecation notices are for who configured it: nobody, here.
    for module in ("celery", "kombu"):
        warnings.filterwarnings("ignore", module=rf"{module}\b")


def _send(handler: logging.Handler, level: int) -> None:
    handler.setFormatter(logging.Formatter(_FORMAT))
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
