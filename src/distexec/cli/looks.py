"""Commands that look at a cluster, or at what is in force here, and change nothing."""

import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

from distexec.cli.common import cluster_option, complain, named

if TYPE_CHECKING:
    from distexec.monitor.report import NodeReport


@click.command()
@click.argument("node", required=False)
@cluster_option
def ping(node: str | None, cluster: str | None) -> int:
    """Say which server and which nodes answer; exit with 1 if no node does, or NODE does not."""
    from distexec.monitor.observer import Observer

    with Observer(named(cluster)) as observer:
        report = observer.look()
    click.echo(report.server)
    for each in report.nodes:
        click.echo(f"{each.name}: {_about(each)}; last heard of {each.age:.1f} s ago")
    if not report.nodes:
        return complain("no node answers: start one with `distexec worker`", 1)
    if node is not None and node not in [each.name for each in report.nodes]:
        return complain(f"node {node!r} does not answer", 1)
    return 0


def _about(node: "NodeReport") -> str:
    """What a node says of itself, or why that cannot be told."""
    if node.problem is not None:
        return node.problem
    aside = f"; put {node.refused} foreign frames or messages aside" if node.refused else ""
    return (
        f"{node.state}, {node.slots} slots for {', '.join(node.queues)}; "
        f"Python {node.python}, distexec {node.version}, process {node.pid}{aside}"
    )


@click.command()
@cluster_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def status(cluster: str | None, as_json: bool) -> None:
    """Show nodes, queues and executors: who serves, how busy, who asks for how much."""
    from distexec.monitor.observer import Observer
    from distexec.monitor.tables import render

    with Observer(named(cluster)) as observer:
        report = observer.look()
    click.echo(report.to_json() if as_json else render(report))


@click.command()
@cluster_option
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=1.0, show_default=True, metavar="SECONDS",
    help="Between two looks.",
)  # fmt: skip
def top(cluster: str | None, every: float) -> None:
    """Show what status does, live in a terminal, until q or Ctrl-C."""
    from distexec.monitor.observer import Observer
    from distexec.monitor.tables import render
    from distexec.monitor.top import watch

    url = named(cluster)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("top needs a terminal; `distexec status` prints the same once")
    with Observer(url) as observer:
        watch(lambda width: render(observer.look(), width), every)


@click.command()
@cluster_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=9464, show_default=True)
def metrics(cluster: str | None, host: str, port: int) -> int:
    """Serve figures for Prometheus, until SIGTERM or Ctrl-C.

    Whoever reaches the port may read them: no call's contents, names or ids are in them.
    """
    try:
        from distexec.monitor.metrics import serve
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        return complain("metrics need another package: pip install 'distexec[metrics]'", 1)
    from distexec.monitor.observer import Observer

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    with Observer(named(cluster)) as observer:
        try:
            server, thread = serve(observer, host, port)
        except OSError as error:
            return complain(f"{host}:{port} cannot be listened on: {error}", 1)
        click.echo(f"http://{host}:{server.server_port}/metrics")
        stopped.wait()
        server.shutdown()
        thread.join()
        server.server_close()
    return 0


@click.command()
def config() -> None:
    """Show the settings in force here, and where each comes from."""
    from distexec.settings import describe_settings
    from distexec.store.endpoint import Endpoint

    rows = describe_settings()
    width = max(len(name) for name, _, _ in rows)
    for name, value, source in rows:
        if value and name in ("url", "broker"):
            value = Endpoint.parse(value).display
        click.echo(f"{name:<{width}}  {value or '-':<16}  {source}")
