"""Plain Celery: one message for each call, results in the same server, defaults otherwise."""

import os

from _servers import SOCKET_VARIABLE
from _work import TASKS
from celery import Celery

_url = f"redis+socket://{os.environ[SOCKET_VARIABLE]}"
app = Celery("bench", broker=_url, backend=_url)
app.conf.broker_connection_retry_on_startup = True
tasks = {function.__name__: app.task(function) for function in TASKS}
