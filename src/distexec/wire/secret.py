"""Where the cluster's secret comes from: the environment, or a file that nobody else can read.

As text, a secret is base64url; where several stand together, separated by commas or white space,
the first signs and all are accepted. That is how a cluster changes its secret without a pause.
"""

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from distexec.errors import SecretError
from distexec.wire.seal import SHORTEST_SECRET

FILE_NAME = "secret.key"
_SIZE = 32
_VARIABLE = "DISTEXEC_SECRET"
_FILE_VARIABLE = "DISTEXEC_SECRET_FILE"
_KEYGEN = "make one with `distexec keygen`"
#: No secrets take more; a wrong path may lead to something large.
_LONGEST_FILE = 64 * 1024


def generate() -> bytes:
    """Return a new secret: 32 random bytes."""
    return secrets.token_bytes(_SIZE)


def to_text(secret: bytes) -> str:
    """Return *secret* as base64url, without padding."""
    return base64.urlsafe_b64encode(secret).decode().rstrip("=")


def from_text(text: str, where: str = "the text") -> tuple[bytes, ...]:
    """Return the secrets in *text*.

    Args:
        where: What the error calls the text, which it never shows.

    Raises:
        SecretError: There is none, or one is not base64url of at least `SHORTEST_SECRET` bytes.
    """
    found = []
    for word in text.replace(",", " ").split():
        try:
            padded = word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4)
            secret = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise SecretError(f"{where} is not base64url: {_KEYGEN}") from None
        if len(secret) < SHORTEST_SECRET:
            raise SecretError(
                f"{where} has a secret of {len(secret)} bytes, and {SHORTEST_SECRET} is the least: "
                f"{_KEYGEN}"
            )
        found.append(secret)
    if not found:
        raise SecretError(f"{where} holds no secret: {_KEYGEN}")
    return tuple(found)


def load(
    environment: Mapping[str, str] | None = None, *, beside: Path | None = None
) -> tuple[bytes, ...] | None:
    """Return the secrets from the first place that has any; ``None`` if there is no such place.

    The places: the file ``secret.key`` in *beside*, the variable ``DISTEXEC_SECRET``, the file that
    ``DISTEXEC_SECRET_FILE`` names, and ``~/.config/distexec/secret.key``. A key beside the socket
    is the key of that very cluster; the others are for any.

    Args:
        beside: The folder of the cluster's unix socket, if it has one.

    Raises:
        SecretError: A place has no good secret, or is a file that others can read.
    """
    environment = os.environ if environment is None else environment
    if beside is not None and (beside / FILE_NAME).exists():
        return read(beside / FILE_NAME)
    # An empty variable is how many tools unset one.
    if text := environment.get(_VARIABLE):
        return from_text(text, _VARIABLE)
    if path := environment.get(_FILE_VARIABLE):
        return read(Path(path))
    home = environment.get("HOME") or os.path.expanduser("~")
    shared = Path(home, ".config", "distexec", FILE_NAME)
    return read(shared) if shared.exists() else None


def read(path: Path) -> tuple[bytes, ...]:
    """Return the secrets in the file.

    Raises:
        SecretError: It cannot be read, or not only by us, or has no good secret.
    """
    try:
        # Without waiting for a writer, if somebody put a pipe there.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            # The open file and not the path: that could lead elsewhere by now.
            _check_owner(path, os.fstat(descriptor))
            data = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise SecretError(f"the secret in {path} cannot be read: {error.strerror}") from error
    if len(data) > _LONGEST_FILE:
        raise SecretError(f"{path} is too large to hold a secret: {_KEYGEN}")
    return from_text(data.decode("ascii", "replace"), str(path))


def write(path: Path, secret: bytes | None = None) -> bytes:
    """Write *secret*, or a new one, into a new file that only we can read; return it.

    Raises:
        SecretError: The file exists, or cannot be written. An existing one is never replaced, since
            the cluster may be using it.
    """
    secret = generate() if secret is None else secret
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(to_text(secret) + "\n")
    except FileExistsError:
        raise SecretError(f"{path} exists already; remove it first to replace it") from None
    except OSError as error:
        raise SecretError(f"the secret cannot be written to {path}: {error.strerror}") from error
    return secret


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path} is not a regular file")
    if os.name == "nt":  # No such modes there.
        return
    if status.st_uid != os.geteuid():
        raise SecretError(
            f"{path} belongs to another user, who could know or change it: "
            f"chown it to user {os.geteuid()}"
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise SecretError(f"{path} has mode {mode:o} and is open to others: chmod 600 {path}")
