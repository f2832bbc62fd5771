"""Where a cluster's server listens and how to log in: read from a URL, shown without a password.

======================  =====================================================================
URL                     server
======================  =====================================================================
``rediss://``           TLS; the certificate and the host name are verified
``redis://``            plain TCP; a host that is not this machine needs ``?allow_plaintext=true``
``redis+socket://``     a Unix socket; without a password, ``server.password`` beside it is read
======================  =====================================================================

``valkey://``, ``valkeys://`` and ``unix://`` are other names for these three.
"""

import ipaddress
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from distexec.errors import SecretError

TCP: Final = "redis"
TLS: Final = "rediss"
SOCKET: Final = "redis+socket"

DEFAULT_PORT: Final = 6379

#: Name of the file beside a server's socket that holds its password.
PASSWORD_FILE: Final = "server.password"

#: Name of the folder there for large values: `distexec.store.files`.
BLOB_FOLDER: Final = "blobs"

_SCHEMES: Final = {
    TCP: TCP, TLS: TLS, SOCKET: SOCKET,
    "valkey": TCP, "valkeys": TLS, "valkey+socket": SOCKET, "unix": SOCKET,
}  # fmt: skip
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS: Final = {
    TCP: {"db", "virtual_host", "allow_plaintext"},
    TLS: {"db", "virtual_host", "ssl_cert_reqs", "ssl_check_hostname", *_TLS_FILES},
    SOCKET: {"db", "virtual_host"},
}
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_QUOTING: Final = (
    "in a password '/', ':', '@', '?' and '#' are written %2F, %3A, %40, %3F and %23, "
    "and behind the address '@' and '#' too"
)
_WORDS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Endpoint:
    """A server's address, with what is needed to log in. With a password it is a secret."""

    #: One of `TCP`, `TLS` and `SOCKET`.
    scheme: str
    #: Empty for a Unix socket.
    host: str = ""
    port: int = DEFAULT_PORT
    #: Absolute path of the Unix socket; empty for the others.
    path: str = ""
    username: str | None = None
    password: str | None = None
    database: int = 0
    #: PEM file with the authorities to trust; ``None`` trusts the system's.
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_check_hostname: bool = True

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Read a cluster URL. Nothing is connected to; a socket's password file is read.

        Raises:
            ValueError: The URL cannot mean a server; the message masks the password, and says what
                to write instead.
            SecretError: The password file beside the socket can be read by other users.
        """
        try:
            return cls._parse(url)
        except _Wrong as error:
            # `from None`: the chain may hold parts of the password (urllib quotes a bad port).
            raise ValueError(f"cluster URL {_masked(url)!r}: {error}") from None

    @classmethod
    def _parse(cls, url: str) -> "Endpoint":
        if not isinstance(url, str):
            raise TypeError(f"a cluster URL is a string, not {type(url).__name__}")
        scheme_text, separator, _ = url.partition("://")
        scheme = _SCHEMES.get(scheme_text.lower())
        if not separator or scheme is None:
            raise _Wrong("it must begin with redis://, rediss:// or redis+socket://")
        # urllib drops tabs and newlines silently, wherever they are.
        if any(character <= " " or character == "\x7f" for character in url):
            raise _Wrong("it contains a space or a control character; write it as %20 or the like")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _Wrong(
                f"host or port cannot be read; a port is a number up to 65535; {_QUOTING}"
            ) from None
        # Such a URL is most likely cut in the middle of its password: quote none of it below.
        misplaced = "@" in parts.path + parts.query and scheme != SOCKET
        if misplaced or parts.fragment or url.endswith("#"):
            raise _Wrong(f"it cannot be taken apart; {_QUOTING}")
        options = _read_options(parts.query, scheme)
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if scheme == SOCKET:
            return cls._of_socket(
                unquote(parts.netloc.rpartition("@")[2]), unquote(parts.path), options,
                username=username, password=password,
            )  # fmt: skip
        if port == 0:
            raise _Wrong("port 0 is no port")
        endpoint = cls(
            scheme=scheme,
            host=_check_host(host),
            port=DEFAULT_PORT if port is None else port,
            username=username,
            password=password,
            database=_read_database(unquote(parts.path).removeprefix("/"), options),
            ssl_check_hostname=_read_flag(options, "ssl_check_hostname", default=True),
            **{name: options.get(name) for name in _TLS_FILES},  # type: ignore[arg-type] # all str
        )
        if bool(endpoint.ssl_keyfile) > bool(endpoint.ssl_certfile):
            raise _Wrong("ssl_keyfile needs ssl_certfile beside it")
        if options.get("ssl_cert_reqs", "required").lower() not in ("required", "cert_required"):
            raise _Wrong("ssl_cert_reqs must be 'required'; name your authority with ssl_ca_certs")
        if (
            scheme == TCP
            and not endpoint.is_loopback
            and not _read_flag(options, "allow_plaintext", default=False)
        ):
            raise _Wrong(
                "it would send the password and all calls unencrypted over the network; use "
                "rediss://, or say that this network is trusted with ?allow_plaintext=true"
            )
        return endpoint

    @classmethod
    def _of_socket(
        cls, host: str, path: str, options: Mapping[str, str], *,
        username: str | None, password: str | None,
    ) -> "Endpoint":  # fmt: skip
        if host:
            raise _Wrong("a socket's path is absolute: three slashes, redis+socket:///run/x.sock")
        if not path.startswith("/") or path.endswith("/") or "\0" in path:
            raise _Wrong("it names no socket file; write redis+socket:///run/server.sock")
        if password is None:
            password = _read_password(Path(path).with_name(PASSWORD_FILE))
        database = _read_database("", options)
        return cls(
            scheme=SOCKET, path=path, username=username, password=password, database=database
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the traffic stays on this machine."""
        if self.scheme == SOCKET or self.host.rstrip(".").lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def folder(self) -> Path | None:
        """The folder of the socket, where the password and the secret may lie; ``None`` for TCP."""
        return Path(self.path).parent if self.scheme == SOCKET else None

    @property
    def display(self) -> str:
        """The URL without its password and without TLS files: for messages and logs."""
        return self._url(f"{quote(self.username, safe='')}@" if self.username else "", {})

    def broker_url(self) -> str:
        """The URL as kombu wants it, with the password: never log it.

        kombu takes a socket's password from the user part only (one in the query is overwritten),
        and switches certificate checks *off* for a ``rediss://`` without ``ssl_`` options.
        """
        login = ""
        if self.username or self.password:
            login = f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"
        options: dict[str, str] = {}
        if self.scheme == TLS:
            options["ssl_cert_reqs"] = "required"
            options["ssl_check_hostname"] = str(self.ssl_check_hostname).lower()
            for name in _TLS_FILES:
                if value := getattr(self, name):
                    options[name] = value
        return self._url(login, options)

    def to_json(self) -> str:
        """Everything, password included, for another process: by pipe or a private file only."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Endpoint":
        """Rebuild what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)

    def __repr__(self) -> str:
        return f"<Endpoint {self.display}>"

    def _url(self, login: str, options: dict[str, str]) -> str:
        if self.scheme == SOCKET:
            if self.database:
                options = {"virtual_host": str(self.database), **options}
            address = quote(self.path)
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            address = f"{host}:{self.port}/{self.database}"
        return f"{self.scheme}://{login}{address}" + (f"?{urlencode(options)}" if options else "")


class _Wrong(Exception):
    """What is wrong with a URL, without the URL."""


def _masked(url: object) -> str:
    """The URL with everything replaced that could be a password, however badly it is written."""
    scheme, separator, rest = str(url).partition("://")
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    elif rest.startswith(":"):
        rest = "***"
    return re.sub(r"(?i)([?&][^=&]*pass[^=&]*=)[^&]*", r"\1***", scheme + separator + rest)


def _check_host(host: str) -> str:
    if not host:
        raise _Wrong("it names no host; for this machine write redis://localhost:6379/0")
    if not host.isascii():
        raise _Wrong("the host name is not ASCII; write it in its xn-- form")
    if ":" not in host and not _HOST.fullmatch(host):
        raise _Wrong(f"{host!r} is not a host name")
    return host


def _read_options(query: str, scheme: str) -> dict[str, str]:
    known = _OPTIONS[scheme]
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "password":
            raise _Wrong("the password goes before the address, as in redis://:PASSWORD@host")
        if name not in known:
            raise _Wrong(f"{scheme}:// has no option {name!r}; it has {', '.join(sorted(known))}")
        if name in options:
            raise _Wrong(f"option {name!r} is given twice")
        options[name] = value
    return options


def _read_flag(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    if name not in options:
        return default
    try:
        return _WORDS[options[name].lower()]
    except KeyError:
        raise _Wrong(f"{name} is true or false, not {options[name]!r}") from None


def _read_database(path: str, options: Mapping[str, str]) -> int:
    texts = {text for text in (path, options.get("db"), options.get("virtual_host")) if text}
    if len(texts) > 1:
        raise _Wrong("it names several databases; one number is enough")
    text = next(iter(texts), "0").removeprefix("/")
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise _Wrong(f"the database is a small number, not {text!r}")
    return int(text)


def _read_password(file: Path) -> str | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise SecretError(f"{file} belongs to another user: its cluster cannot be used") from None
    with open(descriptor, encoding="utf-8") as opened:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            raise SecretError(f"{file} can be read by other users: chmod 600 {file}")
        return opened.read().strip() or None
