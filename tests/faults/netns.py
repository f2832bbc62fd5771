"""A network of two machines on this one: a namespace of the kernel, and a cable to it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest


class Namespace:
    """A network of its own; programs are started in it by the words of `launcher`."""

    def __init__(self, name: str) -> None:
        self._name, self._cable = name, f"{name}a"
        network = f"10.213.{os.getpid() % 200 + 20}"
        #: This machine's address, as seen from there.
        self.host = f"{network}.1"
        self.launcher = ("ip", "netns", "exec", name)
        far = f"{name}b"
        ip("netns", "add", name)
        ip("link", "add", self._cable, "type", "veth", "peer", "name", far, "netns", name)
        ip("addr", "add", f"{self.host}/24", "dev", self._cable)
        ip("-n", name, "addr", "add", f"{network}.2/24", "dev", far)
        for command in (("-n", name, "link", "set", "lo"), ("-n", name, "link", "set", far)):
            ip(*command, "up")
        self.plug()

    def plug(self) -> None:
        """Connect the cable."""
        ip("link", "set", self._cable, "up")

    def unplug(self) -> None:
        """Disconnect it: no end of any connection is told."""
        ip("link", "set", self._cable, "down")


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace until the end of the block, where the machine lets us make one."""
    name = f"dx{os.getpid()}"
    if shutil.which("ip") is None:
        pytest.skip("no network namespaces: there is no `ip` here (iproute2)")
    try:
        yield Namespace(name)
    except subprocess.CalledProcessError as error:
        if error.cmd[1:3] != ["netns", "add"]:
            raise
        pytest.skip(f"no network namespaces: {error.stderr.strip()}")
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def ip(*words: str) -> None:
    """Run a command of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
