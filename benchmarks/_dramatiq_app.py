"""dramatiq: one message for each call, results in the same server, defaults otherwise."""

import os

import dramatiq
from _servers import SOCKET_VARIABLE
from _work import TASKS
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

_url = f"unix://{os.environ[SOCKET_VARIABLE]}"
broker = RedisBroker(url=_url)
broker.add_middleware(Results(backend=RedisBackend(url=_url), store_results=True))
dramatiq.set_broker(broker)
actors = {function.__name__: dramatiq.actor(function) for function in TASKS}
