"""What an operator sees of a real cluster at work, and what he may tell its nodes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from distexec.engine.local import LocalCluster
from distexec.errors import ClusterUnavailable, SecretError
from distexec.monitor.observer import Observer
from distexec.monitor.report import ClusterReport, NodeReport
from distexec.monitor.tables import render
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.link import Link


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster with one node of two slots."""
    with LocalCluster(2, queues=("distexec", "spare")) as cluster:
        yield cluster


def hold(gate: Path) -> None:
    """Keep a slot until told otherwise."""
    eventually(gate.exists, timeout=60)


def test_report_shows_nodes_queues_and_executors(cluster: LocalCluster, tmp_path: Path) -> None:
    """The questions of every operator: who is there, how busy, who wants more."""
    gate = tmp_path / "gate"
    with (
        Observer(cluster.url) as observer,
        distexec.DistributedExecutor(2, cluster=cluster, name="busy", threads=False) as executor,
        ExitStack() as stack,
    ):
        stack.callback(gate.touch)
        futures = [executor.submit(hold, gate) for _ in range(5)]

        def is_busy() -> ClusterReport:
            report = observer.look()
            assert len(report.nodes) == len(report.executors) == 1
            node, asking = report.nodes[0], report.executors[0]
            assert (node.state, node.slots, node.busy) == ("serving", 2, 2)
            assert node.queues == ("distexec", "spare")
            assert node.load["node_memory"] > 0
            assert 0 <= node.load["cpu"] <= 1
            assert (asking.name, asking.wanted, asking.leases, asking.limit) == ("busy", 2, 2, 2)
            assert asking.outstanding == 5
            assert node.serves == {f"{asking.session}/{asking.executor}": 2}
            assert {queue.name: queue.free for queue in report.queues} == {
                "distexec": 0,
                "spare": 0,
            }
            return report

        report = eventually(is_busy, timeout=30)
        gate.touch()
        for future in futures:
            future.result(timeout=30)

        def has_counted() -> NodeReport:
            (node,) = observer.look().nodes
            assert node.calls_per_second
            return node

        node = eventually(has_counted)
        assert node.run_p50 is not None
        assert node.run_p95 is not None
        assert 0 < node.run_p50 <= node.run_p95

        text = render(report)
        assert "busy" in text
        assert "2/2" in text
        assert max(map(len, render(report, width=40).splitlines())) == 40
        assert '"wanted": 2' in report.to_json()


def test_purge_cancels_what_waits_and_spares_what_runs(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """Work that nobody wants any more is ended by an operator: nobody waits for it for ever."""
    gate = tmp_path / "gate"
    with (
        Observer(cluster.url) as observer,
        distexec.DistributedExecutor(2, cluster=cluster, threads=False) as executor,
        ExitStack() as stack,
    ):
        stack.callback(gate.touch)
        futures = [executor.submit(hold, gate) for _ in range(50)]
        other = executor.options(queue="elsewhere").submit(abs, -1)
        eventually(lambda: sum(future.running() for future in futures) == 2, 30)
        (asking,) = eventually(
            lambda: [e for e in observer.look().executors if e.queue == "distexec"]
        )

        observer.purge("distexec", [asking.session])

        eventually(lambda: sum(future.cancelled() for future in futures) == 48, 30)
        assert not other.done()
        later = executor.submit(hold, gate)
        gate.touch()
        assert later.result(30) is None
        assert sum(future.cancelled() for future in futures) == 48
        assert executor.statistics().cancelled == 48
        other.cancel()


def test_without_the_secret_only_what_is_public_shows(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever watches the server need not be able to run code on the cluster."""
    password = (cluster.endpoint.folder / "server.password").read_text().strip()  # type: ignore[operator]
    (tmp_path / "server.password").write_text(password)
    (tmp_path / "server.password").chmod(0o600)
    (tmp_path / "server.sock").symlink_to(cluster.endpoint.folder / "server.sock")  # type: ignore[operator]
    monkeypatch.setenv("HOME", str(tmp_path))
    with Observer(f"redis+socket://{tmp_path}/server.sock") as observer:
        (node,) = eventually(lambda: observer.look().nodes)

        assert node.state == "unknown"
        assert node.problem is not None
        assert "none is known here" in node.problem
        assert node.host != ""
        with pytest.raises(SecretError, match="obey only who has it"):
            observer.order(node.name, do="drain")


def test_what_others_wrote_over_is_a_line_of_the_report() -> None:
    """An operator looks when something is wrong: the look must not fail for the same reason."""
    with LocalCluster(1) as cluster, Observer(cluster.url) as observer, ExitStack() as stack:
        (node,) = eventually(lambda: observer.look().nodes, 30)
        link = Link(cluster.endpoint, Settings.from_environment())
        stack.callback(link.close)
        link.run(
            ("SET", keys.demand("distexec"), "mine"),
            ("HSET", keys.demand("other"), b"\xff\xfe", "x", "no number", "y"),
            ("SET", keys.demand("x").encode() + b"\xff", "z"),
            ("HSET", keys.node_leases(node.name), b"\xff", b"\xff"),
        )

        report = observer.look()

        assert [each.name for each in report.nodes] == [node.name]
        assert len(report.problems) == 1
        assert report.problems[0].startswith("the demand on distexec cannot be read")
        assert report.problems[0] in render(report)
        link.call("DEL", keys.NODE_NAMES)
        link.call("SET", keys.NODE_NAMES, "mine too")
        damaged = observer.look()
        assert any("the list of nodes" in line for line in damaged.problems) or damaged.nodes


def test_server_that_is_away_is_named() -> None:
    """The first thing to know when nothing works."""
    with (
        Observer("redis://127.0.0.1:1") as observer,
        pytest.raises(ClusterUnavailable, match=r"127\.0\.0\.1:1"),
    ):
        observer.look()
