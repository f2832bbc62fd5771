"""One connection to the server: commands in pipelines, scripts, errors in our words."""

import hashlib
import ssl
import threading
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from redis import exceptions as redis_errors
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from distexec.errors import ClusterError, ClusterRefused, ClusterUnavailable, caused
from distexec.settings import Settings
from distexec.store.endpoint import SOCKET, TCP, TLS, Endpoint
from distexec.store.port import KeyDamaged
from distexec.store.resp import Wire

Command = tuple[Any, ...]

#: Answers of a server that may do better soon.
_PASSING = (
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
)
#: The same in the words of scripts and of older servers, which do not begin with the error's code.
_PASSING_WORDS = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING", "BUSY ")
_REFUSING = (
    redis_errors.AuthenticationError,
    redis_errors.AuthorizationError,
    redis_errors.NoPermissionError,
)


class ServerError(ClusterError):
    """The server answered one command with an error."""


class _Damaged(ServerError, KeyDamaged):
    """The command does not fit what the key holds."""


class _NoScript(ServerError):
    """The server does not have a script: it was restarted."""


class Script:
    """A Lua script of ours, called by its digest."""

    def __init__(self, name: str) -> None:
        source = resources.files("distexec.store").joinpath("lua", f"{name}.lua")
        self.text = source.read_bytes()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], *arguments: Any) -> Command:
        """The command that runs the script."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


@cache
def script(name: str) -> Script:
    """The script in ``lua/NAME.lua``, read once."""
    return Script(name)


class Link:
    """A connection that is opened when needed, and again when it broke. Thread-safe.

    Args:
        patience: Seconds that an answer may take, beyond the time that a command itself blocks.
    """

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        self._endpoint = endpoint
        self._patience = settings.connect_seconds
        self._connection = _connection(endpoint, settings)
        self._lock = threading.Lock()
        self._wire: Wire
        self._is_open = False
        #: What was sent ahead, and its answers not read.
        self._ahead: tuple[Command, ...] = ()
        #: How many times the connection was opened.
        self.opened = 0

    def run(
        self,
        *commands: Command,
        blocks: float = 0.0,
        patience: float | None = None,
        then: tuple[Command, ...] = (),
    ) -> list[Any]:
        """Send *commands* at once and return their answers; an error answer is a `ServerError`.

        A connection that broke is opened again, and the commands are sent again: each must be such
        that doing it twice is doing it once.

        Args:
            blocks: Seconds that the commands may wait on the server.
            patience: Seconds after which to give up, without a second try: for callers that must
                not wait. ``None`` takes the settings'.
            then: What `run` will be called with next, as in `send_ahead`: sent in the same piece.

        Raises:
            ClusterUnavailable: The server does not answer, or cannot do its work now.
            ClusterRefused: It wants another password, gives no permission, or is something else.
        """
        if not commands:
            return []
        if not self._lock.acquire(timeout=-1 if patience is None else patience):
            raise ClusterUnavailable(f"the server at {self._endpoint.display} is slow to answer")
        try:
            if patience is not None:
                return self._try_once(commands, patience)
            answers = self._try_twice(commands, blocks, then)
            missing = [
                command[1]
                for command, answer in zip(commands, answers, strict=True)
                if isinstance(answer, _NoScript)
            ]
            if missing:
                self._load(missing)
                answers = self._try_twice(commands, blocks)
            return answers
        finally:
            self._lock.release()

    def send_ahead(self, *commands: Command) -> None:
        """Send what `run` will be called with next, which then only reads the answers.

        The server is asked while the caller has something else to do. Nothing is lost if that
        fails, or if `run` is called with something else: then this connection is given up.
        """
        with self._lock:
            if self._is_open and not self._ahead:
                try:
                    self._wire.send(commands)
                    self._ahead = commands
                except OSError:
                    self._close()

    def call(self, *command: Any) -> Any:
        """Send one command and return its answer.

        Raises:
            ServerError: The answer is an error.
            ClusterError: As in `run`.
        """
        (answer,) = self.run(command)
        if isinstance(answer, ServerError):
            raise answer
        return answer

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _try_twice(
        self, commands: Sequence[Command], blocks: float, then: tuple[Command, ...] = ()
    ) -> list[Any]:
        patience = blocks + self._patience
        try:
            return self._exchange(commands, patience, then)
        except ClusterError:
            raise  # An answer, though some of these are an OSError as well.
        except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError):
            # An idle connection may have been closed long ago: one more try, on a new one.
            self._close()
        return self._try_once(commands, patience)

    def _try_once(self, commands: Sequence[Command], patience: float) -> list[Any]:
        try:
            return self._exchange(commands, patience)
        except ClusterError:
            raise
        except (redis_errors.RedisError, OSError) as error:
            self._close()
            self._fail(error)

    def _exchange(
        self, commands: Sequence[Command], patience: float, then: tuple[Command, ...] = ()
    ) -> list[Any]:
        try:
            if self._ahead and self._ahead != commands:
                self._close()
            if not self._is_open:
                self._connection.connect()
                self._wire = Wire(self._connection._sock)
                self._is_open = True
                self.opened += 1
            wire = self._wire
            if self._ahead:
                then = ()
            else:
                wire.send((*commands, *then))
            self._ahead = ()
            answers: list[Any] = []
            for _ in commands:
                try:
                    answers.append(wire.read(patience))
                except redis_errors.NoScriptError as error:
                    answers.append(_NoScript(str(error)))
                except (*_PASSING, *_REFUSING):
                    raise
                except redis_errors.ResponseError as error:
                    if _is_about_the_server(str(error)):
                        raise
                    kind = _Damaged if _tells_damage(str(error)) else ServerError
                    answers.append(kind(str(error)))
            self._ahead = then
            return answers
        except redis_errors.ConnectionError as error:
            self._close()
            if isinstance(error, (*_PASSING, *_REFUSING)):
                self._fail(error)
            raise
        except (redis_errors.ResponseError, redis_errors.InvalidResponse) as error:
            self._close()
            self._fail(error)
        except BaseException:
            # Also a KeyboardInterrupt: answers that were not read would be taken for others'.
            self._close()
            raise

    def _close(self) -> None:
        self._connection.disconnect()
        self._is_open = False
        self._ahead = ()

    def _load(self, digests: Sequence[str]) -> None:
        texts = [each.text for each in map(script, _names()) if each.digest in digests]
        self._try_twice([("SCRIPT", "LOAD", text) for text in texts], 0.0)

    def _fail(self, error: Exception) -> NoReturn:
        where = self._endpoint.display
        failure: ClusterError
        if isinstance(error, redis_errors.BusyLoadingError):
            failure = ClusterUnavailable(f"the server at {where} is loading its data")
        elif isinstance(error, _REFUSING):
            failure = ClusterRefused(
                f"the server at {where} refuses the user or password of the cluster URL: {error}"
            )
        elif (doubt := _doubt_about(error)) is not None:
            failure = ClusterRefused(
                f"the server at {where} is not trusted: {doubt.verify_message or doubt.reason}. "
                "Its certificate must be valid, for that very name, and of an authority that this "
                "system knows; name another one with ?ssl_ca_certs=/path/to/authority.pem"
            )
        elif isinstance(error, redis_errors.InvalidResponse):
            failure = ClusterRefused(
                f"what answers at {where} is no Redis and no Valkey (or speaks TLS: rediss://)"
            )
        elif "unknown command" in str(error).lower():
            failure = ClusterRefused(
                f"the server at {where} is no Redis >= 6.2 nor Valkey: {error}"
            )
        elif isinstance(error, redis_errors.ResponseError):
            failure = ClusterUnavailable(f"the server at {where} cannot serve now: {error}")
        else:
            other = (
                "does not speak TLS: redis://"
                if self._endpoint.scheme == TLS
                else ("speaks TLS: rediss://")
            )
            hint = f" (if it {other})" if self._endpoint.scheme != SOCKET else ""
            failure = ClusterUnavailable(f"the server at {where} does not answer: {error}{hint}")
        raise caused(failure, error) from error


def _doubt_about(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """Why the server's certificate was refused, if that is what *error* comes from."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _is_about_the_server(text: str) -> bool:
    """Whether an error answer says something about the server, and not about one command."""
    return "unknown command" in text.lower() or any(word in text for word in _PASSING_WORDS)


def _tells_damage(text: str) -> bool:
    """Whether the server refused a command for what somebody else wrote into its key."""
    # The second is what a stream says after an entry with the largest id that there is.
    return "WRONGTYPE" in text or "exhausted the last possible ID" in text


def _names() -> list[str]:
    folder = resources.files("distexec.store").joinpath("lua")
    return [
        item.name.removesuffix(".lua") for item in folder.iterdir() if item.name.endswith(".lua")
    ]


def _connection(endpoint: Endpoint, settings: Settings) -> Any:
    common: dict[str, Any] = {
        "db": endpoint.database,
        "username": endpoint.username,
        "password": endpoint.password,
        "socket_timeout": settings.connect_seconds,
        "protocol": 2,
        "driver_info": None,
    }
    kind: Any = {TCP: Connection, TLS: SSLConnection, SOCKET: UnixDomainSocketConnection}
    if endpoint.scheme == SOCKET:
        return kind[SOCKET](path=endpoint.path, **common)
    common |= {
        "host": endpoint.host,
        "port": endpoint.port,
        "socket_connect_timeout": settings.connect_seconds,
        "socket_keepalive": True,
    }
    if endpoint.scheme == TLS:
        common |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": endpoint.ssl_check_hostname,
            "ssl_ca_certs": endpoint.ssl_ca_certs,
            "ssl_certfile": endpoint.ssl_certfile,
            "ssl_keyfile": endpoint.ssl_keyfile,
        }
    return kind[endpoint.scheme](**common)
