"""What a node says of its load: the scheduler and the operator decide by it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from conftest import eventually
from distexec.engine.cgroup import ControlGroup, Memory
from distexec.engine.load import LoadMeter


def make_group(folder: Path, **files: str) -> ControlGroup:
    """A control group with these files; two underscores stand for a slash, one for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return ControlGroup(folder)


NEW = {
    "cpuDOTmax": "150000 100000\n",
    "cpuDOTstat": "usage_usec 2500000\nuser_usec 1\n",
    "memoryDOTmax": "1000\n",
    "memoryDOTcurrent": "700\n",
    "memoryDOTstat": "anon 400\ninactive_file 200\n",
}
OLD = {
    "cpu__cpuDOTcfs_quota_us": "150000\n",
    "cpu__cpuDOTcfs_period_us": "100000\n",
    "cpuacct__cpuacctDOTusage": "2500000000\n",
    "memory__memoryDOTlimit_in_bytes": "1000\n",
    "memory__memoryDOTusage_in_bytes": "700\n",
    "memory__memoryDOTstat": "rss 400\ntotal_inactive_file 200\n",
}


@pytest.mark.parametrize("files", [NEW, OLD], ids=["version-2", "version-1"])
def test_limits_of_a_container_are_read(tmp_path: Path, files: dict[str, str]) -> None:
    """A container with 1.5 processors on a host of 64 is full long before the host is."""
    group = make_group(tmp_path, **files)

    assert group.processors() == 1.5
    assert group.cpu_seconds() == 2.5
    assert group.memory() == Memory(1000, 500)


@pytest.mark.parametrize(
    "files",
    [{}, {"cpuDOTmax": "max 100000", "memoryDOTmax": "max", "memoryDOTcurrent": "7"}],
    ids=["no-groups", "no-limit"],
)
def test_no_limit_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    """Then the host's figures hold."""
    group = make_group(tmp_path, **files)

    assert group.processors() is None
    assert group.memory() is None


def test_smaller_limit_holds(tmp_path: Path) -> None:
    """What the container may use is the truth, whatever the host has."""
    half = (os.cpu_count() or 1) / 2
    group = make_group(
        tmp_path, **{**NEW, "cpuDOTmax": f"{int(half * 100_000)} 100000", "memoryDOTmax": "5000"}
    )

    load = LoadMeter(group).read([os.getpid()])

    assert load.processors == half
    assert load.memory_limit == 5000
    assert load.memory_available == 4500


def test_host_counts_where_there_is_no_limit(tmp_path: Path) -> None:
    """A machine of its own: everything is the node's."""
    load = LoadMeter(ControlGroup(tmp_path)).read([os.getpid()])

    assert load.processors == os.cpu_count()
    assert load.memory_limit == psutil.virtual_memory().total
    assert load.node_memory > 1_000_000
    assert 0 <= load.cpu <= 1


def test_work_of_a_child_shows(tmp_path: Path) -> None:
    """A busy child is the node's load; one that is gone is not, and harms nothing."""
    meter = LoadMeter(ControlGroup(tmp_path))
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            assert eventually(lambda: meter.read([child.pid]).node_cpu > 0.05)
        finally:
            child.kill()

    assert eventually(lambda: meter.read([child.pid]).node_memory == 0)
