"""The policy of leases on a cluster of 1,000 nodes, simulated: `benchmarks/sharing.py`."""

import importlib
import sys
from pathlib import Path

import pytest

from distexec.scheduling.fairness import MOST_LOOKED_AT


def test_two_hundred_executors_share_a_thousand_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly, with all slots in use, by looking at a handful of executors and at no other node."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    try:
        outcome = importlib.import_module("sharing").Simulation(1000, 200, moves=True).run()
    finally:
        for name in ("sharing", "_report"):
            sys.modules.pop(name, None)

    assert outcome.fairness > 0.95
    assert outcome.utilisation > 0.98
    assert outcome.looked_at <= MOST_LOOKED_AT
    assert outcome.changes < 0.1, "a slot changes its executor once in ten seconds, no more"
    assert 0 < outcome.urgent_p95 < 100, "the next of two thousand boundaries comes in no time"
