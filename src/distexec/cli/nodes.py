"""Commands that run nodes and clusters: ``worker``, ``local``, ``drain``."""

import shlex
import signal
from typing import NoReturn

import click

from distexec.cli.common import NAME, cluster_option, complain, named, queues_option
from distexec.errors import ClusterUnavailable

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command()
@cluster_option
@queues_option
@click.option("--slots", type=click.IntRange(min=1), help="Calls at a time.  [default: processors]")
@click.option("--name", help="Unique in the cluster.  [default: made from host and process]")
@click.option(
    "--drain", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="At its end, let running calls go on for so long.  [default: 30]",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(_LOG_LEVELS, case_sensitive=False), default="info",
    show_default=True,
)  # fmt: skip
def worker(
    cluster: str | None,
    queues: tuple[str, ...],
    slots: int | None,
    name: str | None,
    drain: float | None,
    log_level: str,
) -> int:
    """Run a node that serves QUEUES, until SIGTERM or Ctrl-C drains it; a second one kills it.

    A node that drains takes nothing more, lets running calls end, and hands back the others, and
    also those that run for longer than --drain.
    """
    from distexec.engine import supervisor

    if name is not None and not all(map(NAME.fullmatch, name.split("@", 1))):
        raise click.BadParameter(
            f"{name!r} is no name: letters, digits, '_', '.', '-', and '@host' behind",
            param_hint="'--name'",
        )
    return supervisor.run(
        url=named(cluster),
        queues=queues,
        slots=slots,
        name=name,
        drain=drain,
        log_level=log_level.upper(),
    )


@click.command()
@click.option("--workers", type=click.IntRange(min=1), help="Slots.  [default: processors]")
@queues_option
def local(workers: int | None, queues: tuple[str, ...]) -> None:
    """Keep a cluster on this machine for other programs, until SIGTERM or Ctrl-C.

    Prints the variable that makes them use it.
    """
    from distexec.engine.local import LocalCluster

    def stop(number: int, frame: object) -> NoReturn:
        for each in signals:  # The end takes half a second at most: once is enough.
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    cluster = LocalCluster(workers, queues=queues)
    try:
        for each in signals:
            signal.signal(each, stop)
        with cluster:
            click.echo(f"export DISTEXEC_URL={shlex.quote(cluster.url)}")
            cluster.wait()
    except KeyboardInterrupt:
        cluster.close()
    if cluster.failed is not None:
        raise ClusterUnavailable(cluster.failed)


@click.command()
@click.argument("node")
@cluster_option
def drain(node: str, cluster: str | None) -> int:
    """Let NODE end in good order: it takes nothing more, and running calls end first."""
    from distexec.monitor.observer import Observer

    with Observer(named(cluster)) as observer:
        names = [each.name for each in observer.look().nodes]
        if node not in names:
            known = f": there are {', '.join(names)}" if names else ", and no other"
            return complain(f"no node {node!r} answers{known}", 1)
        observer.order(node, do="drain")
    click.echo(f"{node} drains")
    return 0
