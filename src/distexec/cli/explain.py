"""``distexec explain``: asks a call's caller, which decided."""

import click

from distexec.cli.common import cluster_option, complain, named


@click.command()
@click.argument("call", metavar="ID")
@cluster_option
def explain(call: str, cluster: str | None) -> int:
    """Say where the call ID went, or would go now, and why; while it is not settled.

    IDs are those of `distexec.current_call().id` and of `executor.explain(future).id`.
    """
    from distexec.monitor.observer import Observer

    session, _, number = call.partition("-")
    if not (session.isalnum() and number.isdigit()):
        raise click.UsageError(f"{call!r} is no call's id: they look like 0123456789abcdef-42")
    with Observer(named(cluster)) as observer:
        answer = observer.explain(session, int(number))
    if answer is None:
        return complain(f"no caller answers for {call}: it has ended, or is away", 1)
    click.echo(answer)
    return 0
