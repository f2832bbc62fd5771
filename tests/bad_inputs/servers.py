"""What the tests of bad clusters ask of a server, and of an executor that is to use it."""

import socket
import time
from typing import Any, NamedTuple

import distexec
from properties import calls

#: "Within seconds": a refusal that takes longer counts as a hang.
PROMPT_SECONDS = 8.0


class Server(NamedTuple):
    """A server on a loopback port."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Say whether it listens and takes the password."""
        try:
            return self.command("PING").startswith("+PONG")
        except OSError:
            return False

    def command(self, line: str) -> str:
        """Run one command, written as in a terminal."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(f"AUTH {self.password}\r\n{line}\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                answer += connection.recv(4096)
        return answer.partition(b"\r\n")[2].decode()


def refusal(cluster: Any, **options: Any) -> Exception:
    """Return the error of an executor's first use, wherever it comes up; it must come up soon."""
    began = time.monotonic()
    try:
        executor = distexec.DistributedExecutor(1, cluster=cluster, **options)
    except Exception as error:
        return error
    try:
        error = executor.submit(calls.square, 2).exception(timeout=2 * PROMPT_SECONDS)
    except Exception as raised:
        error = raised
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    assert isinstance(error, Exception), "the cluster was accepted"
    assert time.monotonic() - began < PROMPT_SECONDS
    return error
