"""What several commands share: the options that name a cluster and its queues."""

import re

import click

#: What Celery, Redis keys and shells all take as it is.
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def read_names(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Take names with commas between them."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not NAME.fullmatch(name):
            raise click.BadParameter(
                f"{name!r} is no name: 1 to 64 letters, digits, '_', '.' and '-'"
            )
    return tuple(dict.fromkeys(names))


cluster_option = click.option(
    "--cluster",
    metavar="URL",
    envvar="DISTEXEC_URL",
    show_envvar=True,
    help="rediss://, redis:// or redis+socket://",
)
queues_option = click.option(
    "--queues", metavar="A,B", callback=read_names, default="distexec", show_default=True
)


def named(cluster: str | None) -> str:
    if not cluster:
        raise click.UsageError("no cluster is named: give --cluster URL, or set DISTEXEC_URL")
    return cluster


def complain(message: str, code: int) -> int:
    """Say what is wrong, and return *code*."""
    click.echo(f"distexec: {message}", err=True)
    return code
