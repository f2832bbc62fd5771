"""What several commands share: the options that name a cluster and its queues."""

from collections.abc import Callable
from typing import Any

import click

from distexec.settings import read_queues, variables


def reading(read: Callable[[str], Any]) -> Callable[..., Any]:
    """A callback for an option whose text *read* reads; it raises `ValueError` if it cannot."""

    def convert(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


def _read_names(text: str) -> tuple[str, ...]:
    if ":" in text:
        raise ValueError(f"{text!r}: weights are for `distexec worker`")
    return tuple(read_queues(text))


cluster_option = click.option(
    "--cluster",
    metavar="URL",
    envvar="DISTEXEC_URL",
    show_envvar=True,
    help="rediss://, redis:// or redis+socket://",
)
queues_option = click.option(
    "--queues", metavar="A,B", callback=reading(_read_names), default="distexec", show_default=True
)


def named(cluster: str | None) -> str:
    """The cluster's URL, from wherever it is known."""
    cluster = cluster or variables().get("DISTEXEC_URL")
    if not cluster:
        raise click.UsageError("no cluster is named: give --cluster URL, or set DISTEXEC_URL")
    return cluster


def complain(message: str, code: int) -> int:
    """Say what is wrong, and return *code*."""
    click.echo(f"distexec: {message}", err=True)
    return code
