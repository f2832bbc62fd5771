"""Who takes part: each contender opens a pool of so many workers, and closes it cleanly.

What is not installed is imported by nobody: a contender's module is looked for before it is opened.
"""

import concurrent.futures
import functools
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

from _servers import SOCKET_VARIABLE, private_server, python_module

Function = Callable[..., Any]

#: A call that takes longer than this is a contender that hangs.
PATIENCE_SECONDS = 60.0


class Pool(Protocol):
    """What a contender can be asked to do."""

    def call(self, function: Function, *args: Any) -> Any:
        """Make one call and wait for its result."""
        ...

    def each(self, function: Function, inputs: Sequence[Any]) -> None:
        """Submit a call for every input, each by itself, and take the results as they come."""
        ...

    def map(self, function: Function, inputs: Sequence[Any], chunksize: int | None) -> None:
        """Map as the contender does it best, or in chunks if told so; take all results."""
        ...


class ExecutorPool:
    """Any executor of the shape of `concurrent.futures`."""

    def __init__(
        self,
        executor: concurrent.futures.Executor,
        as_completed: Callable[..., Iterable[Any]] = concurrent.futures.as_completed,
    ) -> None:
        self.executor, self._as_completed = executor, as_completed

    def call(self, function: Function, *args: Any) -> Any:
        return self.executor.submit(function, *args).result(PATIENCE_SECONDS)

    def each(self, function: Function, inputs: Sequence[Any]) -> None:
        futures = [self.executor.submit(function, value) for value in inputs]
        for future in self._as_completed(futures):
            future.result()

    def map(self, function: Function, inputs: Sequence[Any], chunksize: int | None) -> None:
        options = {} if chunksize is None else {"chunksize": chunksize}
        for _ in self.executor.map(function, inputs, **options):
            pass


class CallPool:
    """A contender with nothing but its own way to start a call and to wait for its result."""

    def __init__(self, start: Callable[..., Any], finish: Callable[[Any], Any]) -> None:
        self._start, self._finish = start, finish

    def call(self, function: Function, *args: Any) -> Any:
        return self._finish(self._start(function, *args))

    def each(self, function: Function, inputs: Sequence[Any]) -> None:
        for started in [self._start(function, value) for value in inputs]:
            self._finish(started)

    def map(self, function: Function, inputs: Sequence[Any], chunksize: int | None) -> None:
        self.each(function, inputs)


@functools.cache
def local_cluster(workers: int) -> Any:
    """The embedded cluster of this process; distexec and the floor share its server."""
    from distexec import LocalCluster

    return LocalCluster(workers).start()


@contextmanager
def _open_distexec(workers: int) -> Iterator[Pool]:
    from distexec import DistributedExecutor, as_completed

    cluster = local_cluster(workers)
    with cluster, DistributedExecutor(workers, cluster=cluster) as executor:
        yield ExecutorPool(executor, as_completed)


@contextmanager
def _open_distexec_apart(workers: int) -> Iterator[Pool]:
    """As on a cluster of other machines: large values go over the server, not by files."""
    from distexec import DistributedExecutor, LocalCluster, as_completed
    from distexec.store.endpoint import BLOB_FOLDER

    with LocalCluster(workers) as cluster:
        (Path(cluster.endpoint.folder or "") / BLOB_FOLDER).rmdir()
        with DistributedExecutor(workers, cluster=cluster) as executor:
            yield ExecutorPool(executor, as_completed)


@contextmanager
def _open_floor(workers: int) -> Iterator[Pool]:
    from _floor import open_echo

    with open_echo(local_cluster(workers)) as trip:
        yield CallPool(trip, lambda answer: answer)


@contextmanager
def _open_step(name: str, workers: int) -> Iterator[Pool]:
    from _steps import STEPS

    with STEPS[name](local_cluster(workers), name) as trip:
        yield CallPool(trip, lambda answer: answer)


@contextmanager
def _open_threads(workers: int) -> Iterator[Pool]:
    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        yield ExecutorPool(executor)


@contextmanager
def _open_processes(workers: int) -> Iterator[Pool]:
    with concurrent.futures.ProcessPoolExecutor(workers) as executor:
        yield ExecutorPool(executor)


@contextmanager
def _open_loky(workers: int) -> Iterator[Pool]:
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(workers) as executor:
        yield ExecutorPool(executor)


@contextmanager
def _open_joblib(workers: int) -> Iterator[Pool]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    with ExitStack() as stack, Parallel(workers) as parallel:
        # Its processes outlive the block for the next one. Left to the end of the interpreter they
        # are told too late where `multiprocessing` started that, and both wait for ever.
        stack.callback(lambda: get_reusable_executor().shutdown())
        pool = CallPool(lambda function, *args: parallel([delayed(function)(*args)]), lambda x: x)
        # It has no futures: many calls are one call of its own, which makes its own batches.
        pool.each = lambda function, inputs: parallel(  # type: ignore[method-assign]
            delayed(function)(value) for value in inputs
        )
        yield pool


@contextmanager
def _open_celery(workers: int) -> Iterator[Pool]:
    with private_server() as socket:
        worker = ["celery", "-A", "_celery_app", "worker", "-c", str(workers), "-l", "error"]
        with python_module(*worker, socket=socket):
            os.environ[SOCKET_VARIABLE] = str(socket)
            from _celery_app import tasks

            yield CallPool(
                lambda function, *args: tasks[function.__name__].delay(*args),
                lambda result: result.get(timeout=PATIENCE_SECONDS),
            )


@contextmanager
def _open_dramatiq(workers: int) -> Iterator[Pool]:
    with private_server() as socket:
        worker = ["dramatiq", "_dramatiq_app", "--processes", str(workers), "--threads", "1"]
        with python_module(*worker, socket=socket):
            os.environ[SOCKET_VARIABLE] = str(socket)
            from _dramatiq_app import actors

            yield CallPool(
                lambda function, *args: actors[function.__name__].send(*args),
                lambda message: message.get_result(
                    block=True, timeout=round(1000 * PATIENCE_SECONDS)
                ),
            )


@contextmanager
def _open_dask(workers: int) -> Iterator[Pool]:
    import dask
    from distributed import Client, LocalCluster

    # It leaves the files of its locks in its folder.
    with (
        TemporaryDirectory(prefix="dask-") as folder,
        dask.config.set({"temporary-directory": folder}),
    ):
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50
        )
        # Taken for one without side effects, a second call with equal arguments would not run.
        with cluster, Client(cluster) as client, client.get_executor(pure=False) as executor:
            yield ExecutorPool(executor)


@contextmanager
def _open_ray(workers: int) -> Iterator[Pool]:
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=50)
    try:
        remote = functools.cache(ray.remote)
        pool = CallPool(lambda function, *args: remote(function).remote(*args), ray.get)
        pool.each = lambda function, inputs: ray.get(  # type: ignore[method-assign]
            [remote(function).remote(value) for value in inputs]
        )
        yield pool
    finally:
        ray.shutdown()


class Contender(NamedTuple):
    """One way to run calls elsewhere."""

    open: Callable[[int], AbstractContextManager[Pool]]
    #: What must be installed for it, as it is imported and as it is installed.
    module: str = "concurrent.futures"
    package: str = ""
    #: Contenders with the same home take their turns in one process.
    home: str = ""
    #: Uses the processor also between its turns, at the cost of whoever has one: measured apart.
    is_restless: bool = False


CONTENDERS = {
    "distexec": Contender(_open_distexec, home="distexec"),
    "distexec over the server": Contender(_open_distexec_apart),
    "floor": Contender(_open_floor, home="distexec"),
    "acknowledged": Contender(functools.partial(_open_step, "acknowledged"), home="distexec"),
    "signed": Contender(functools.partial(_open_step, "signed"), home="distexec"),
    "futures": Contender(functools.partial(_open_step, "futures"), home="distexec"),
    "ThreadPoolExecutor": Contender(_open_threads),
    "ProcessPoolExecutor": Contender(_open_processes),
    "loky": Contender(_open_loky, "loky", "loky"),
    "joblib": Contender(_open_joblib, "joblib", "joblib"),
    "celery": Contender(_open_celery, "celery", "celery"),
    "dramatiq": Contender(_open_dramatiq, "dramatiq", "dramatiq"),
    "dask": Contender(_open_dask, "distributed", "distributed", is_restless=True),
    "ray": Contender(_open_ray, "ray", "ray", is_restless=True),
}


def is_installed(name: str) -> bool:
    """Whether the contender can be opened here."""
    return importlib.util.find_spec(CONTENDERS[name].module) is not None
