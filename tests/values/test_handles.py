"""`put`: a value that is sent once, and stands in calls as its handle."""

import copy
import gc
import pickle
import threading
from typing import Any

import numpy
import pytest

import distexec
from conftest import eventually

from .conftest import files_of
from .deeds import LARGE, items_of, load, loaded, look, name_of_type, overwrite, pass_on


def test_a_handle_arrives_as_the_value(pool: distexec.DistributedExecutor) -> None:
    """Anywhere in the arguments, as often as it is given."""
    array = numpy.arange(LARGE // 8, dtype=float)
    handle, small = pool.put(array), pool.put([10.0, 11.0, 12.0])

    assert pool.submit(look, handle, 5).result() == 5.0
    assert pool.submit(look, array=handle, index=6).result() == 6.0
    nested = {"arrays": [handle, handle]}
    assert pool.submit(items_of, nested, extra=small).result() == (1.0, 12.0, True)


def test_a_value_is_sent_once_and_is_that_of_the_moment(
    pool: distexec.DistributedExecutor,
) -> None:
    """What its owner changes afterwards does not reach the calls."""
    array = numpy.ones(LARGE // 8)
    before = pool.statistics()
    handle = pool.put(array)
    array[:] = 2

    assert list(pool.map(look, [handle] * 20, range(20))) == [1.0] * 20
    assert [pool.submit(overwrite, handle).result() for _ in range(3)] == [(1.0, 7.0)] * 3

    after = pool.statistics()
    assert after.bytes_sent - before.bytes_sent < 1.1 * LARGE
    assert after.bytes_saved - before.bytes_saved >= 23 * LARGE
    assert pool.submit(look, array, 0).result() == 2.0


def test_get_gives_a_copy_where_it_was_put(pool: distexec.DistributedExecutor) -> None:
    """As the calls have theirs."""
    handle = pool.put(numpy.ones(LARGE // 8))

    one = handle.get()
    one[:] = 5

    assert handle.get()[0] == 1.0


def test_a_handle_in_a_function_stays_a_handle(pool: distexec.DistributedExecutor) -> None:
    """A closure is unpickled once, and what it holds would be shared; `get` gives a copy."""
    handle = pool.put(numpy.arange(LARGE // 8, dtype=float))

    assert pool.submit(lambda: name_of_type(handle)).result() == "Handle"
    assert pool.submit(lambda: float(handle.get()[7])).result() == 7.0


@pytest.mark.parametrize("name", ["embedded", "remote", "threads"])
def test_an_initializer_can_open_a_handle(name: str, request: pytest.FixtureRequest) -> None:
    """A model is loaded once for each process; in ``initargs`` a handle stays a handle."""
    cluster = name if name == "threads" else request.getfixturevalue(name)
    with distexec.DistributedExecutor(1, cluster=cluster) as executor:
        handle = executor.put(numpy.full(LARGE // 8, 4.0))
        with distexec.DistributedExecutor(
            1, cluster=cluster, initializer=load, initargs=(handle,)
        ) as other:
            assert other.submit(loaded, 9).result() == 4.0


def test_a_handle_can_be_passed_on_to_nested_calls(embedded: distexec.LocalCluster) -> None:
    """The value stays with who put it."""
    with distexec.DistributedExecutor(2, cluster=embedded) as executor:
        handle = executor.put(numpy.arange(LARGE // 8, dtype=float))

        assert executor.submit(lambda: pass_on(handle)).result(60) == 3.0


def test_a_handle_survives_plain_pickle_and_copies(pool: distexec.DistributedExecutor) -> None:
    """It is a name, and says what it names."""
    handle = pool.put(bytes(1000))

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps([handle], protocol))[0]
        assert isinstance(again, distexec.Handle)
        assert repr(again) == repr(handle)
    assert copy.deepcopy([handle])[0] is copy.copy(handle) is handle
    assert pool.put(handle) is handle
    assert "bytes>" in repr(handle)
    assert handle.size > 1000


def test_executors_of_a_cluster_share_handles(pool: distexec.DistributedExecutor) -> None:
    """And those of another cluster are given the value without further ado."""
    array = numpy.arange(LARGE // 8, dtype=float)
    with distexec.DistributedExecutor(1, cluster="threads") as other:
        handle = pool.put(array)

        assert other.submit(look, handle, 9).result() == 9.0


def test_a_handle_is_closed_with_its_executor(embedded: distexec.LocalCluster) -> None:
    """Its calls end before; nothing is left to find then."""
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        handle = executor.put(numpy.ones(LARGE // 8))
        future = executor.submit(look, handle, 0)
        with distexec.DistributedExecutor(1, cluster=embedded) as second:
            assert second.submit(look, handle, 1).result() == 1.0
            executor.shutdown()

            assert future.result() == 1.0
            assert "closed" in repr(handle)
            with pytest.raises(ValueError, match="shut down"):
                handle.get()
            with pytest.raises(distexec.NotPicklable, match=r"args\[0\].* was shut down"):
                second.submit(look, handle, 1).result()
            eventually(lambda: not files_of(second), 20)


def test_a_forgotten_handle_frees_its_value(embedded: distexec.LocalCluster) -> None:
    """After the calls that use it; a cycle that only the collector finds is no exception."""
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        cycle: list[Any] = [executor.put(numpy.ones(LARGE // 8))]
        cycle.append(cycle)
        futures = [executor.submit(look, cycle[0], n) for n in range(3)]
        del cycle
        gc.collect()

        assert [future.result() for future in futures] == [1.0] * 3
        del futures
        eventually(lambda: not files_of(executor))


def test_what_cannot_be_put_says_so(pool: distexec.DistributedExecutor) -> None:
    """At once: there is no future to carry the error."""
    with pytest.raises(distexec.NotPicklable, match=r"value\[1\]: _thread.lock"):
        pool.put([1, threading.Lock()])
    view = pool.options(name="view")
    assert view.submit(look, view.put([4.0]), 0).result() == 4.0


def test_put_is_refused_after_shutdown() -> None:
    """As submit is."""
    executor = distexec.DistributedExecutor(1, cluster="threads")
    executor.put(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.put(1)
