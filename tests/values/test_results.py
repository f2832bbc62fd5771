"""Large results: put beside the reply, fetched once, and gone then."""

import os
import time
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from distexec.settings import Settings
from distexec.store.link import Link

from .conftest import depot_of, files_of
from .deeds import LARGE, make, make_and_die_once, make_many


@pytest.mark.parametrize("size", [1000, 300_000, LARGE])
def test_results_arrive_whatever_their_size(pool: distexec.DistributedExecutor, size: int) -> None:
    """Inside the reply, copied from a file, or mapped: the caller cannot tell."""
    array = pool.submit(make, size, 3.0).result()
    array += 1

    assert array.sum() == 4.0 * (size // 8)
    many = pool.submit(make_many, size).result()
    assert many["bytes"] == b"x" * size
    assert list(many["array"][:3]) == [0, 1, 2]
    assert many["list"] == list(range(1000))


def test_equal_results_are_each_their_callers_own(pool: distexec.DistributedExecutor) -> None:
    """To change one must not change the other, nor remove it."""
    one, other = pool.map(make, [LARGE] * 2, [1.0] * 2)
    one[:] = 9

    assert other[0] == 1.0


def test_fetched_results_leave_nothing(embedded: distexec.LocalCluster) -> None:
    """A program that runs for days must not fill the disk."""
    with distexec.DistributedExecutor(2, cluster=embedded) as executor:
        results = list(executor.map(make, [300_000] * 20, range(20)))

        assert [array[0] for array in results] == list(range(20))
        assert files_of(executor) == []


def test_nothing_stays_on_a_server(remote: distexec.LocalCluster) -> None:
    """Others use its memory as well."""
    operator = Link(remote.endpoint, Settings())
    with distexec.DistributedExecutor(2, cluster=remote) as executor:
        handle = executor.put(bytes(LARGE))
        assert executor.submit(len, handle).result() == LARGE
        assert operator.call("KEYS", "*:blob:*") != []
        list(executor.map(make, [300_000] * 5, range(5)))

    assert operator.call("KEYS", "*:blob:*") == []
    operator.close()


def test_what_is_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results before they are stored anywhere, the rest where it is given."""
    monkeypatch.setenv("DISTEXEC_MAX_PAYLOAD_BYTES", "1000000")
    with (
        distexec.LocalCluster(1) as cluster,
        distexec.DistributedExecutor(1, cluster=cluster) as executor,
    ):
        with pytest.raises(distexec.PayloadTooLarge, match="1,000,000"):
            executor.submit(make, 2_000_000, 1.0).result()
        assert files_of(executor) == []
        for give in (executor.put, lambda value: executor.submit(len, value)):
            with pytest.raises(distexec.PayloadTooLarge, match="1,000,000"):
                give(bytes(2_000_000))


def test_a_result_that_was_lost_is_made_again(
    embedded: distexec.LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody cleaned the folder between the reply and the fetch: at least once is the rule."""
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        assert executor.submit(pow, 2, 2).result() == 4
        depot, fetch, lost = depot_of(executor), depot_of(executor).fetch, []

        def lose_first(ref):  # type: ignore[no-untyped-def]
            if not lost:
                lost.append(ref)
                for file in files_of(executor):
                    file.unlink()
            return fetch(ref)

        monkeypatch.setattr(depot, "fetch", lose_first)

        assert executor.submit(make, LARGE, 2.0).result(60)[0] == 2.0
        assert len(lost) == 1
        assert executor.statistics().retried == 1


def test_a_call_whose_worker_died_brings_its_result_at_last(
    embedded: distexec.LocalCluster, tmp_path: Path
) -> None:
    """Large results take part in recovery as small ones do."""
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        assert executor.submit(make_and_die_once, str(tmp_path), LARGE).result(60)[0] == 5.0


def test_results_that_nobody_fetches_are_removed_by_their_age(
    embedded: distexec.LocalCluster,
) -> None:
    """A lease that was given up may have put one: its node cleans up."""
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        handle = executor.put(bytes(300_000))
        (value,) = files_of(executor)
        orphan = value.with_name(b"r".hex() + "00" * 15)
        orphan.write_bytes(b"orphan")
        old = time.time() - 3600
        os.utime(orphan, (old, old))
        os.utime(value, (old, old))

        eventually(lambda: not orphan.exists(), 20)
        assert value.exists(), "a value lives as long as its handle"
        assert handle.get() == bytes(300_000)


def test_the_caller_may_close_before_a_result_comes(embedded: distexec.LocalCluster) -> None:
    """Its folder goes with it, while a worker is about to write into it."""
    executor = distexec.DistributedExecutor(1, cluster=embedded)
    future = executor.submit(make, LARGE, 1.0)
    executor.shutdown(wait=True, cancel_futures=True)

    assert future.done()
