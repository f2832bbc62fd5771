"""``distexec dead``: calls that were given up and kept."""

import time
from typing import TYPE_CHECKING

import click

from distexec.cli.common import cluster_option, named

if TYPE_CHECKING:
    from distexec.executor.letters import DeadLetter


@click.group()
def dead() -> None:
    """Look at calls that were given up and kept: see options(dead_letter=True)."""


_letters_argument = click.argument("letters", nargs=-1, metavar="[ID]...")
_all_option = click.option("--all", "takes_all", is_flag=True, help="Every letter.")


@dead.command("list")
@cluster_option
def list_letters(cluster: str | None) -> None:
    """List the dead letters, the oldest first."""
    from distexec.executor.letters import dead_letters

    for letter in dead_letters(named(cluster)):
        attempts = f"{letter.attempts} attempt{'s' if letter.attempts > 1 else ''}"
        click.echo(f"{letter.id}  {_time(letter.died_at)}  {letter.label}  {attempts}")
        click.echo(f"    {letter.error.splitlines()[0]}")


@dead.command("show")
@cluster_option
@_letters_argument
@_all_option
def show_letters(cluster: str | None, letters: tuple[str, ...], takes_all: bool) -> None:
    """Show all that is known of dead letters; unpickles nothing."""
    for letter in _find_letters(cluster, letters, takes_all):
        click.echo(f"{letter.id}: {letter.label}, for queue {letter.queue}")
        click.echo(f"given up {_time(letter.died_at)}, submitted by {letter.caller}")
        for number, line in enumerate(letter.history, start=1):
            click.echo(f"  attempt {number}: {line}")


@dead.command("retry")
@cluster_option
@_letters_argument
@_all_option
@click.option("--timeout", type=float, help="Seconds to wait for each result.")
def retry_letters(
    cluster: str | None, letters: tuple[str, ...], takes_all: bool, timeout: float | None
) -> int:
    """Run dead letters again; those that return are removed. Exit with 1 if one fails again."""
    retried = [(each, each.retry()) for each in _find_letters(cluster, letters, takes_all)]
    code = 0
    for letter, future in retried:
        try:
            future.result(timeout)
        except Exception as error:
            code = 1
            click.echo(f"{letter.id}: {type(error).__name__}: {error}", err=True)
        else:
            letter.drop()
            click.echo(f"{letter.id}: returned")
    return code


@dead.command("drop")
@cluster_option
@_letters_argument
@_all_option
def drop_letters(cluster: str | None, letters: tuple[str, ...], takes_all: bool) -> None:
    """Remove dead letters."""
    for letter in _find_letters(cluster, letters, takes_all):
        if letter.drop():
            click.echo(f"{letter.id}: removed")


def _find_letters(
    cluster: str | None, letters: tuple[str, ...], takes_all: bool
) -> "list[DeadLetter]":
    """The letters that were named, in that order.

    Raises:
        LetterGone: One of them is not there.
        click.UsageError: None was named.
    """
    from distexec.errors import LetterGone
    from distexec.executor.letters import dead_letters

    if bool(letters) == takes_all:
        raise click.UsageError("name letters by their ids, or give --all")
    known = {letter.id: letter for letter in dead_letters(named(cluster))}
    for name in letters:
        if name not in known:
            raise LetterGone(name)
    return [known[name] for name in letters] if letters else list(known.values())


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
