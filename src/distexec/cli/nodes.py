"""Commands that run nodes and clusters: ``worker`` and ``local``."""

import shlex
import signal
from dataclasses import replace
from typing import Any, NoReturn

import click

from distexec.cli.common import cluster_option, named, queues_option, reading
from distexec.errors import ClusterUnavailable
from distexec.settings import NAME, POOLS, WorkerOptions, read_bounds, read_queues, read_size

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command()
@cluster_option
@click.option(
    "--queues", metavar="A[:WEIGHT],B", callback=reading(read_queues),
    help="While all are wanted, each gets its weight's part of the slots.  [default: distexec]",
)  # fmt: skip
@click.option("--slots", type=click.IntRange(min=1), help="Calls at a time.  [default: processors]")
@click.option(
    "--autoscale", metavar="LEAST,MOST", callback=reading(read_bounds),
    help="Let the number of slots follow what is asked for.",
)  # fmt: skip
@click.option(
    "--pool", type=click.Choice(POOLS),
    help="A process for each slot, or one with a thread for each.  [default: prefork]",
)  # fmt: skip
@click.option(
    "--memory-per-child", metavar="SIZE", callback=reading(read_size),
    help="Replace a process that has more, as 512M, between two calls.",
)  # fmt: skip
@click.option(
    "--calls-per-child", type=click.IntRange(min=1), metavar="N",
    help="Replace a process after so many calls, or one more.",
)  # fmt: skip
@click.option(
    "--remote-control/--no-remote-control", default=None,
    help="Answer Celery's unsigned remote control, for Flower and `celery inspect`.",
)  # fmt: skip
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
    cluster: str | None, name: str | None, drain: float | None, log_level: str, **options: Any
) -> int:
    """Run a node that serves QUEUES, until SIGTERM or Ctrl-C drains it; a second one kills it.

    A node that drains takes nothing more, lets running calls end, and hands back the others, and
    also those that run for longer than --drain. What is not said here may stand in DISTEXEC_WORKER_
    variables or in pyproject.toml: see `distexec config`.
    """
    from distexec.engine import supervisor

    if name is not None and not all(map(NAME.fullmatch, name.split("@", 1))):
        raise click.BadParameter(
            f"{name!r} is no name: letters, digits, '_', '.', '-', and '@host' behind",
            param_hint="'--name'",
        )
    given = {option: value for option, value in options.items() if value is not None}
    return supervisor.run(
        url=named(cluster),
        options=replace(WorkerOptions.from_environment(), **given),
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
