"""Large arguments: the same content is sent once, and each call has its own."""

import threading
from typing import Any

import numpy

import distexec

from .deeds import LARGE, first_and_last, look, overwrite, type_and_size


def test_an_array_that_many_calls_use_is_sent_once(pool: distexec.DistributedExecutor) -> None:
    """Else the program spends its time on copies, and the server's memory on them too."""
    array = numpy.random.default_rng(1).random(LARGE // 8)
    before = pool.statistics()

    found = list(pool.map(look, [array] * 30, range(30)))

    after = pool.statistics()
    assert found == [float(array[n]) for n in range(30)]
    assert LARGE <= after.bytes_sent - before.bytes_sent < 1.1 * LARGE
    assert after.bytes_saved - before.bytes_saved == 29 * LARGE


def test_equal_content_of_other_objects_is_sent_once(pool: distexec.DistributedExecutor) -> None:
    """A table gives its blocks as new arrays each time."""
    array = numpy.random.default_rng(2).random(LARGE // 8)
    assert pool.submit(look, array, 0).result() == array[0]
    before = pool.statistics().bytes_sent

    assert pool.submit(look, array.copy(), 1).result() == array[1]

    assert pool.statistics().bytes_sent - before < LARGE / 10


def test_a_change_between_two_calls_is_seen_by_the_second(
    pool: distexec.DistributedExecutor,
) -> None:
    """One changed byte, wherever it is: arguments are those of the moment of submit."""
    array = numpy.zeros(LARGE // 8)
    for index in (0, 1234, LARGE // 16, LARGE // 8 - 1):
        array[index] = index + 1.0
        future = pool.submit(look, array, index)
        array[index] = -1.0
        assert future.result() == index + 1.0
        assert pool.submit(look, array, index).result() == -1.0


def test_a_call_that_changes_its_array_changes_its_own(pool: distexec.DistributedExecutor) -> None:
    """The calls of a process share what was fetched once, and must not see each other."""
    array = numpy.ones(LARGE // 8)

    found = [pool.submit(overwrite, array).result() for _ in range(5)]

    assert found == [(1.0, 7.0)] * 5
    assert array[0] == 1.0


def test_bytes_arrive_as_bytes(pool: distexec.DistributedExecutor) -> None:
    """They travel as buffers, and arrive as what they were."""
    data = b"a" + bytes(LARGE) + b"z"

    for value in (data, bytearray(data), memoryview(data)):
        assert pool.submit(first_and_last, value).result() == (97, 122)
        name, size = pool.submit(type_and_size, value).result()
        assert (name, size) == (type(value).__name__, len(data))


def test_one_large_list_is_recognised_beside_small_arguments(
    pool: distexec.DistributedExecutor,
) -> None:
    """It has to be pickled each time, to see what changed; it need not be sent."""
    rows = [f"row {n}" for n in range(100_000)]
    assert pool.submit(list.__getitem__, rows, 0).result() == "row 0"
    before = pool.statistics()

    assert pool.submit(list.__getitem__, rows, 99_999).result() == "row 99999"

    after = pool.statistics()
    assert after.bytes_sent - before.bytes_sent < 10_000
    assert after.bytes_saved - before.bytes_saved > 1_000_000


def test_an_object_given_twice_is_one_object(pool: distexec.DistributedExecutor) -> None:
    """As in a process pool, large or small."""
    data, rows = bytes(LARGE), list(range(100_000))
    buffer = bytearray(LARGE)

    for args in ((data, data), (rows, rows), (rows, [rows]), (buffer, [buffer])):
        assert pool.submit(_is_same, *args).result()


def _is_same(one: Any, other: Any) -> bool:
    return one is other or one is other[0]


def test_threads_that_submit_the_same_array_store_it_once(
    pool: distexec.DistributedExecutor,
) -> None:
    """Submit is for any thread; what two of them store at once is one value in the end."""
    array = numpy.random.default_rng(3).random(LARGE // 8)
    futures: list[Any] = []
    barrier = threading.Barrier(4)

    def submit() -> None:
        barrier.wait()
        futures.append(pool.submit(look, array, 5))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [future.result() for future in futures] == [float(array[5])] * 4
    assert len({call.ref.name for call in _values(pool)}) <= 8


def _values(pool: distexec.DistributedExecutor) -> list[Any]:
    assert pool._channel is not None
    depot = pool._channel.session.depot
    return list(depot._by_name.values())
