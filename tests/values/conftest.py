"""The ways that a large value can go: by a file, over the server, inside one process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import distexec
from distexec.client.depot import Depot
from distexec.store.endpoint import BLOB_FOLDER


@pytest.fixture(scope="module")
def embedded() -> Iterator[distexec.LocalCluster]:
    """Caller and node share a folder."""
    with distexec.LocalCluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def remote() -> Iterator[distexec.LocalCluster]:
    """Caller and node share nothing but the server."""
    with distexec.LocalCluster(2) as cluster:
        assert cluster.endpoint.folder is not None
        os.rmdir(cluster.endpoint.folder / BLOB_FOLDER)
        yield cluster


@pytest.fixture(scope="module", params=["embedded", "remote", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[distexec.DistributedExecutor]:
    """An executor on each kind of cluster in turn."""
    name = request.param
    cluster = name if name == "threads" else request.getfixturevalue(name)
    with distexec.DistributedExecutor(2, cluster=cluster) as executor:
        yield executor


def depot_of(executor: distexec.DistributedExecutor) -> Depot:
    """Where the values of an executor are kept, once it was used."""
    assert executor._channel is not None
    return executor._channel.session.depot


def files_of(executor: distexec.DistributedExecutor) -> list[Path]:
    """The files of an executor's session on the embedded cluster."""
    folder = depot_of(executor)._folder
    assert folder is not None
    return sorted(folder.path.iterdir())
