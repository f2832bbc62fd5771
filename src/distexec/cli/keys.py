"""Commands that make secrets: ``keygen`` for the cluster, ``acl`` for its server."""

import os
from pathlib import Path

import click

from distexec.cli.common import queues_option
from distexec.errors import SecretError


@click.command()
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


@click.command()
@queues_option
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
