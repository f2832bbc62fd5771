"""Calls that may go to several queues go where they are done first, and not where nobody serves."""

from collections import Counter
from collections.abc import Iterator

import pytest

import distexec
from bad_inputs.conftest import start_server
from conftest import eventually
from properties import calls
from properties.conftest import Gate, gate, ledger

from . import deeds
from .rig import NodeProcess, RealCluster

__all__ = ["gate", "ledger"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Callers have no more permissions on its server than `distexec acl` gives them."""
    folder = tmp_path_factory.mktemp("choosing")
    with pytest.MonkeyPatch.context() as patch, start_server(folder) as server:
        cluster = RealCluster(server, folder, ("here", "there", "nowhere"))
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        try:
            yield cluster
            assert server.command("ACL LOG") == "*0\r\n"
        finally:
            cluster.close()


@pytest.fixture(scope="module")
def nodes(cluster: RealCluster) -> list[NodeProcess]:
    """Two nodes of two slots, each with a queue of its own."""
    started = [cluster.start("n1", "here", 2), cluster.start("n2", "there", 2)]
    cluster.ready(*started)
    return started


def test_the_next_program_knows_where_a_function_is_fast(
    cluster: RealCluster, nodes: list[NodeProcess]
) -> None:
    """From its first call on: what was learned is kept in the cluster."""
    with distexec.ProcessPoolExecutor(2, cluster=cluster.url) as executor:
        for queue in ("here", "there"):
            view = executor.options(queue=queue)
            for _ in range(3):
                view.submit(deeds.slow_on, "n2").result(timeout=30)

    queues = ["there", "here"]
    with distexec.ProcessPoolExecutor(2, cluster=cluster.url, queues=queues) as executor:
        future = executor.submit(deeds.slow_on, "n2")
        future.result(timeout=30)

        estimates = executor.explain(future).estimates

    # As on an idle machine, which this one may not be.
    known = {each.queue: each.run / each.slowdown for each in estimates}
    assert known["there"] > 0.1 > known["here"]


def test_work_is_shared_and_a_queue_that_stops_is_avoided(
    cluster: RealCluster, nodes: list[NodeProcess], gate: Gate, ledger: str
) -> None:
    """Both queues get calls while both serve; once one node is gone, all go to the other one."""
    queues = ["here", "there", "nowhere"]
    with distexec.ProcessPoolExecutor(4, cluster=cluster.url, queues=queues) as executor:
        futures = [executor.submit(deeds.noted_where, ledger, gate.path, n) for n in range(4)]
        lines = eventually(lambda: (found := calls.read_ledger(ledger))[3:] and found)
        assert len(lines) == 4, "all four slots, of both queues"
        gate.open()
        served = Counter(future.result(timeout=20)[1] for future in futures)
        assert served == {"n1": 2, "n2": 2}

        nodes[1].kill()
        futures = [executor.submit(deeds.where) for _ in range(40)]

        assert {future.result(timeout=30) for future in futures} == {"n1"}
        assert executor.statistics().queues == ()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"queues": "gpu"}, TypeError),
        ({"queues": []}, ValueError),
        ({"queues": ["no spaces"]}, ValueError),
        ({"queues": ["gpu"], "queue": "gpu"}, ValueError),
    ],
)
def test_wrong_choices_are_refused_at_once(
    options: dict[str, object], error: type[Exception]
) -> None:
    """At the line that is wrong, on an executor and on a view."""
    with pytest.raises(error):
        distexec.DistributedExecutor(cluster="threads", **options)  # type: ignore[arg-type]
    with distexec.DistributedExecutor(cluster="threads") as executor, pytest.raises(error):
        executor.options(**options)  # type: ignore[arg-type]


def test_queues_of_a_view_show() -> None:
    """And one queue is a choice of one."""
    with distexec.DistributedExecutor(cluster="threads", queues=["a", "b", "a"]) as executor:
        assert repr(executor.options()).endswith("| queues a, b>")
        assert repr(executor.options(queue="c")).endswith("| queue c>")
        assert executor.submit(pow, 2, 3).result(timeout=20) == 8
        assert executor.options(queues=["c"]).submit(pow, 2, 4).result(timeout=20) == 16
