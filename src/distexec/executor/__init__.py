"""The executors: `submit`, `map`, `options`, and the standard library's names for them."""

from distexec.executor.distributed import DistributedExecutor
from distexec.executor.pools import ProcessPoolExecutor, ThreadPoolExecutor
from distexec.executor.views import ExecutorView

__all__ = ["DistributedExecutor", "ExecutorView", "ProcessPoolExecutor", "ThreadPoolExecutor"]
