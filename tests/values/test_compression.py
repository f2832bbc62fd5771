"""On a cluster of other machines frames are compressed, both ways, where that pays."""

import os

import pytest

import distexec
from distexec.client.clusters import RemoteCluster

from .deeds import LARGE

ROWS = b"one of many rows that are alike\n" * (LARGE // 32)


def repeat(data: bytes, times: int) -> bytes:
    return data * times


def test_calls_values_and_results_are_compressed(
    remote: distexec.LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside of calls, beside them, and on the way back."""
    monkeypatch.setattr(RemoteCluster, "is_distant", True)
    with distexec.DistributedExecutor(1, cluster=remote) as executor:
        small, handle = ROWS[:100_000], executor.put(ROWS)

        assert executor.submit(len, small).result() == 100_000
        assert executor.statistics().bytes_sent - len(ROWS) < 20_000
        assert executor.submit(len, handle).result() == len(ROWS)
        assert executor.submit(repeat, b"x", 100_000).result() == b"x" * 100_000
        assert executor.submit(repeat, ROWS[:32], LARGE // 32).result() == ROWS
        noise = os.urandom(300_000)
        assert executor.submit(repeat, noise, 1).result() == noise
