"""The `distexec` command: nodes, clusters, keys, and looks at what goes on.

What a subcommand needs is imported when it runs, so that ``--help`` is quick.
"""

import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from distexec.cli import keys, letters, looks, nodes, orders
from distexec.cli.common import complain
from distexec.cli.explain import explain
from distexec.errors import DistexecError
from distexec.version import __version__, is_compiled


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 if it did its work, 1 if it could not, 2 if it was told wrong."""
    try:
        code = _commands.main(arguments, prog_name="distexec", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        code = complain(error.format_message(), error.exit_code)
    except DistexecError as error:
        code = complain(str(error), 1)
    except ValueError as error:  # A URL or a setting that cannot be read.
        code = complain(str(error), 2)
    except (KeyboardInterrupt, click.Abort):
        code = 128 + signal.SIGINT
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    f"{__version__} (compiled)" if is_compiled() else __version__,
    prog_name="distexec",
    message="%(prog)s %(version)s",
)
def _commands() -> None:
    """concurrent.futures on a cluster of Celery workers."""


@_commands.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def migrate(arguments: tuple[str, ...]) -> int:
    """Rewrite concurrent.futures code where that is safe: see `distexec migrate --help`."""
    from distexec.migrate.cli import main as run

    return run(arguments)


for _command in (
    *(nodes.worker, nodes.local, orders.drain, orders.purge),
    *(explain, looks.ping, looks.status, looks.top, looks.metrics, looks.config),
    *(keys.keygen, keys.acl, letters.dead),
):
    _commands.add_command(_command)
