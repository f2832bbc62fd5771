"""Logging records of calls travel back to the caller, where they are handled as its own."""

import json
import logging

from distexec.wire.records import Reply, ReplyKind
from distexec.worker import context

#: What a record takes along, beside its message and its exception's text.
_FIELDS = (
    "name",
    "levelno",
    "levelname",
    "pathname",
    "filename",
    "module",
    "lineno",
    "funcName",
    "created",
    "msecs",
    "process",
    "processName",
    "thread",
    "threadName",
)


class ForwardHandler(logging.Handler):
    """Sends each record of a running call to the call's caller."""

    def emit(self, record: logging.LogRecord) -> None:
        post = context.running.post
        if post is None:
            return
        try:
            fields = {name: getattr(record, name) for name in _FIELDS}
            fields["msg"] = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
            payload = json.dumps(fields).encode()
            post(Reply(0, ReplyKind.LOG, 0, 0.0, 0.0, payload))
        except Exception:
            self.handleError(record)


_handler = ForwardHandler()


def forward(level: int) -> None:
    """From now on send records of *level* and above to the callers of this process."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    root.setLevel(level)


def replay(payload: bytes | memoryview) -> None:
    """Handle a record that `ForwardHandler` sent, in the caller."""
    record = logging.makeLogRecord(json.loads(bytes(payload)))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
