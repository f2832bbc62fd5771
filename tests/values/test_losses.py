"""What happens to values when a server, a file, or their owner goes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import distexec
from conftest import eventually
from distexec.settings import Settings
from distexec.store.endpoint import BLOB_FOLDER
from distexec.store.link import Link

from .conftest import depot_of, files_of
from .deeds import LARGE, look


def test_an_emptied_server_is_given_its_values_again(remote: distexec.LocalCluster) -> None:
    """The caller has a copy of each: a handle outlives the server's memory."""
    with distexec.DistributedExecutor(1, cluster=remote) as executor:
        handle = executor.put(numpy.arange(LARGE // 8, dtype=float))
        assert executor.submit(look, handle, 1).result() == 1.0
        operator = Link(remote.endpoint, Settings())
        operator.call("FLUSHALL")
        operator.close()
        other = executor.put(numpy.arange(LARGE // 8, dtype=float) + 1)

        assert executor.submit(look, handle, 2).result(60) == 2.0
        assert executor.submit(look, other, 2).result(60) == 3.0


def test_a_value_that_a_node_does_not_find_is_sent_to_it(embedded: distexec.LocalCluster) -> None:
    """A node may share the server's socket and not the folder: a container, another user."""
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        handle = executor.put(numpy.arange(LARGE // 8, dtype=float))
        (file,) = files_of(executor)
        (value,) = depot_of(executor)._by_name.values()
        value._path = file.rename(file.with_name("elsewhere"))

        assert executor.submit(look, handle, 4).result(60) == 4.0
        assert executor.submit(look, handle, 5).result(60) == 5.0


def test_a_value_that_is_gone_for_good_fails_its_calls(embedded: distexec.LocalCluster) -> None:
    """By name, and only those; nothing waits for ever."""
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        handle = executor.put(numpy.ones(LARGE // 8))
        (file,) = files_of(executor)
        file.unlink()

        with pytest.raises(distexec.ValueLost, match=r"look needs the value .* Put it again"):
            executor.submit(look, handle, 0).result(60)
        array = numpy.ones(LARGE // 8)
        again = executor.put(array)
        assert executor.submit(look, again, 0).result(60) == 1.0
        assert executor.submit(look, handle, 0).result(60) == 1.0, "it is the same content"


class Canary:
    """Tells by a file that it was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("size", [300_000, LARGE])
def test_a_changed_file_is_never_unpickled(
    embedded: distexec.LocalCluster, tmp_path: Path, size: int
) -> None:
    """What was not signed is not looked into: the call that names a file signs its hash."""
    import pickle

    forged = pickle.dumps(Canary(tmp_path / "canary"))
    with distexec.DistributedExecutor(1, cluster=embedded) as executor:
        handle = executor.put(list(range(size)))
        (file,) = files_of(executor)
        length = file.stat().st_size
        file.write_bytes(forged + bytes(length - len(forged)))

        with pytest.raises(distexec.ValueLost, match="changed"):
            executor.submit(len, handle).result(60)
        with pytest.raises(distexec.ValueLost, match="changed"):
            handle.get()
    assert not (tmp_path / "canary").exists()


PROGRAM = """
import os, signal, sys
import distexec
executor = distexec.DistributedExecutor(1, cluster=sys.argv[1])
handle = executor.put(bytes(1_000_000))
assert executor.submit(len, handle).result() == 1_000_000
print(executor._channel.session.depot._folder.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_caller_that_was_killed_leaves_no_files(embedded: distexec.LocalCluster) -> None:
    """On a cluster that several programs share: a node removes what nobody holds the lock of."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, embedded.url], stdout=subprocess.PIPE, text=True
    )
    folder = Path(done.stdout.strip())
    assert done.returncode == -signal.SIGKILL
    assert folder.parent.name == BLOB_FOLDER
    assert len(list(folder.iterdir())) == 1
    os.utime(folder, (1, 1))

    eventually(lambda: not folder.exists(), 20)


def test_a_cluster_that_ends_takes_the_values_along() -> None:
    """Also if its program is killed: they lie in the folder that the guard removes."""
    program = PROGRAM.replace("cluster=sys.argv[1]", "cluster=None")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    folder = Path(done.stdout.strip())

    assert done.returncode == -signal.SIGKILL
    eventually(lambda: not folder.parent.parent.exists(), 20)
