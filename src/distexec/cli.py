"""The `distexec` command: nodes, a local cluster, keys, and a look at who answers.

What a subcommand needs is imported when it runs, so that ``--help`` is quick.
"""

import json
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from distexec.errors import ClusterUnavailable, DistexecError, FrameRejected, SecretError
from distexec.version import __version__

if TYPE_CHECKING:
    from distexec.executor.letters import DeadLetter
    from distexec.wire.seal import Seal

#: What Celery, Redis keys and shells all take as it is.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 if it did its work, 1 if it could not, 2 if it was told wrong."""
    try:
        code = _commands.main(arguments, prog_name="distexec", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        code = _complain(error.format_message(), error.exit_code)
    except DistexecError as error:
        code = _complain(str(error), 1)
    except ValueError as error:  # A URL or a setting that cannot be read.
        code = _complain(str(error), 2)
    except (KeyboardInterrupt, click.Abort):
        code = 128 + signal.SIGINT
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    click.echo(f"distexec: {message}", err=True)
    return code


def _read_names(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Take names with commas between them."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not _NAME.fullmatch(name):
            raise click.BadParameter(
                f"{name!r} is no name: 1 to 64 letters, digits, '_', '.' and '-'"
            )
    return tuple(dict.fromkeys(names))


_cluster_option = click.option(
    "--cluster",
    metavar="URL",
    envvar="DISTEXEC_URL",
    show_envvar=True,
    help="rediss://, redis:// or redis+socket://",
)
_queues_option = click.option(
    "--queues", metavar="A,B", callback=_read_names, default="distexec", show_default=True
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="distexec", message="%(prog)s %(version)s")
def _commands() -> None:
    """concurrent.futures on a cluster of Celery workers."""


@_commands.command()
@_cluster_option
@_queues_option
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

    if name is not None and not all(map(_NAME.fullmatch, name.split("@", 1))):
        raise click.BadParameter(
            f"{name!r} is no name: letters, digits, '_', '.', '-', and '@host' behind",
            param_hint="'--name'",
        )
    return supervisor.run(
        url=_named(cluster),
        queues=queues,
        slots=slots,
        name=name,
        drain=drain,
        log_level=log_level.upper(),
    )


@_commands.command()
@click.option("--workers", type=click.IntRange(min=1), help="Slots.  [default: processors]")
@_queues_option
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


@_commands.command()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="[default: ~/.config/distexec/secret.key]",
)
@click.option("--rotate", is_flag=True, help="Sign with a new secret, and accept the old ones too.")
@click.option("--print", "prints", is_flag=True, help="Print the secret, for DISTEXEC_SECRET.")
def keygen(path: Path | None, rotate: bool, prints: bool) -> None:
    """Make the secret that a cluster's callers and nodes share; copy the file to all of them."""
    from distexec.wire import secret

    path = path or Path("~/.config/distexec", secret.FILE_NAME).expanduser()
    if not rotate:
        if path.exists():
            raise SecretError(f"{path} exists already: --rotate adds a new secret and keeps it")
        secret.write(path)
        click.echo(f"wrote {path}", err=True)
    else:
        older = secret.read(path)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        secret.write(fresh)
        with open(fresh, "a", encoding="ascii") as file:
            file.writelines(secret.to_text(each) + "\n" for each in older)
        os.replace(fresh, path)
        click.echo(
            f"{path} signs with a new secret. Copy it to every node and caller and start them "
            f"again, then remove the older ones, in the lines below the first ({len(older)})",
            err=True,
        )
    if prints:
        click.echo(",".join(map(secret.to_text, secret.read(path))))


@_commands.command()
@_queues_option
def acl(queues: tuple[str, ...]) -> None:
    """Print the server's users for callers, nodes and operators; their passwords go to stderr.

    The lines are for the server's ACL file, or each for ACL SETUSER.
    """
    import secrets

    from distexec.store.acl import rules

    passwords = {role: secrets.token_urlsafe(24) for role in ("caller", "node", "operator")}
    for line in rules(queues, passwords):
        click.echo(line)
    for role, password in passwords.items():
        click.echo(f"{role}: rediss://distexec-{role}:{password}@HOST", err=True)


@_commands.command()
@_cluster_option
def ping(cluster: str | None) -> int:
    """Say which server and which nodes answer; exit with 1 if no node does."""
    from distexec.engine.server import name_in
    from distexec.settings import Settings
    from distexec.store.connect import open_caller_store
    from distexec.store.endpoint import Endpoint
    from distexec.store.link import Link
    from distexec.wire import secret
    from distexec.wire.seal import Seal

    endpoint = Endpoint.parse(_named(cluster))
    settings = Settings.from_environment()
    secrets = secret.load(beside=endpoint.folder)
    seal = Seal(*secrets) if secrets else None
    link = Link(endpoint, settings)
    try:
        click.echo(f"{endpoint.display}: {name_in(link.call('INFO', 'server'))}")
    finally:
        link.close()
    store = open_caller_store(endpoint, os.urandom(8).hex(), settings)
    try:
        now, nodes = store.beat([]), sorted(store.nodes())
    finally:
        store.close()
    for node in nodes:
        about = _describe(node.name, node.frame, seal)
        click.echo(f"{node.name}: {about}; last heard of {max(0.0, now - node.beat_at):.1f} s ago")
    if not nodes:
        return _complain("no node answers: start one with `distexec worker`", 1)
    return 0


@_commands.group()
def dead() -> None:
    """Look at calls that were given up and kept: see options(dead_letter=True)."""


_letters_argument = click.argument("letters", nargs=-1, metavar="[ID]...")
_all_option = click.option("--all", "takes_all", is_flag=True, help="Every letter.")


@dead.command("list")
@_cluster_option
def list_letters(cluster: str | None) -> None:
    """List the dead letters, the oldest first."""
    from distexec.executor.letters import dead_letters

    for letter in dead_letters(_named(cluster)):
        attempts = f"{letter.attempts} attempt{'s' if letter.attempts > 1 else ''}"
        click.echo(f"{letter.id}  {_time(letter.died_at)}  {letter.label}  {attempts}")
        click.echo(f"    {letter.error.splitlines()[0]}")


@dead.command("show")
@_cluster_option
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
@_cluster_option
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
@_cluster_option
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
    known = {letter.id: letter for letter in dead_letters(_named(cluster))}
    for name in letters:
        if name not in known:
            raise LetterGone(name)
    return [known[name] for name in letters] if letters else list(known.values())


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


@_commands.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def migrate(arguments: tuple[str, ...]) -> int:
    """Rewrite concurrent.futures code where that is safe: see `distexec migrate --help`."""
    from distexec.migrate.cli import main as run

    return run(arguments)


def _describe(name: str, frame: bytes, seal: "Seal | None") -> str:
    """What a node says of itself, or at least how it signs."""
    from distexec.wire import places
    from distexec.wire.seal import Direction

    public, _, sealed = frame.partition(b"\n")
    try:
        if seal is None:
            return f"signed with secret {json.loads(public)['key']}, and none is known here"
        record = json.loads(bytes(seal.open(Direction.CONTROL, places.node(name), sealed)))
        refused = record.get("refused", 0)
        return (
            f"{record['state']}, {record['slots']} slots for {', '.join(record['queues'])}; "
            f"Python {record['python']}, distexec {record['version']}, process {record['pid']}"
            + (f"; put {refused} foreign frames or messages aside" if refused else "")
        )
    except FrameRejected as error:
        return f"its record is refused ({error})"
    except (ValueError, KeyError, TypeError):
        return "its record cannot be read"


def _named(cluster: str | None) -> str:
    if not cluster:
        raise click.UsageError("no cluster is named: give --cluster URL, or set DISTEXEC_URL")
    return cluster
