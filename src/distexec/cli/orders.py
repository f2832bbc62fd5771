"""Commands that give orders: ``drain`` to nodes, ``purge`` to callers."""

import click

from distexec.cli.common import cluster_option, complain, named


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


@click.command()
@click.argument("queue")
@cluster_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(queue: str, cluster: str | None, yes: bool) -> int:
    """Cancel the calls that wait for QUEUE and may go to no other; those that run go on."""
    from distexec.monitor.observer import Observer

    with Observer(named(cluster)) as observer:
        asking = [each for each in observer.look().executors if each.queue == queue]
        calls = sum(executor.outstanding for executor in asking)
        if not asking:
            click.echo(f"nothing waits for {queue}")
            return 0
        for executor in asking:
            name = executor.name or f"{executor.session}/{executor.executor}"
            click.echo(f"{name} of {executor.caller}: {executor.outstanding:,} calls")
        if not yes:
            click.confirm(f"Cancel those of {calls:,} calls that do not run yet?", abort=True)
        observer.purge(queue, sorted({executor.session for executor in asking}))
    return 0
