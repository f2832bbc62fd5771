"""A node whose main thread is stuck takes nothing more, and must not look as if it did."""

from pathlib import Path

import pytest
from noderig import running_node, running_server

import distexec
from conftest import eventually
from distexec.engine.pulse import Pulse

#: Blocks the main thread of each node that is born while the file is there.
STICK = """
import os, sys, threading, time

def stick():
    while True:
        time.sleep(0.05)
        node = getattr(sys.modules.get("distexec.engine.node"), "_node_here", None)
        heart = getattr(node, "_heart", None)
        # In the node's children there is a copy of it, without its threads.
        if heart is not None and heart._thread.is_alive() and os.path.exists({flag!r}):
            hub = node._worker.hub
            if hub is not None:
                os.unlink({flag!r})
                hub.call_soon(time.sleep, 3600)
                return

os.register_at_fork(after_in_child=lambda: threading.Thread(target=stick, daemon=True).start())
"""


def test_silence_counts_from_the_question() -> None:
    """Nobody can answer what was not asked; an answer ends the wait, a break begins it anew."""
    asked: list[int] = []
    pulse = Pulse(lambda: asked.append(1), patience=10.0)

    assert not any(pulse.is_stuck(now) for now in (0.0, 4.0, 8.0))
    assert len(asked) == 1
    pulse.answer()
    assert not any(pulse.is_stuck(now) for now in (12.0, 16.0, 20.0))
    assert len(asked) == 2
    # Away for a minute, and then silent.
    assert [pulse.is_stuck(now) for now in (80.0, 84.0, 88.0, 91.0)] == [False, False, False, True]


def test_a_stuck_node_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls would wait for ever, if it were the only one."""
    flag = tmp_path / "stick"
    (tmp_path / "sitecustomize.py").write_text(STICK.format(flag=str(flag)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DISTEXEC_NODE_EXPIRY_SECONDS", "1")
    with running_server() as server, running_node(server) as node:
        stuck = node.pid
        flag.touch()
        eventually(lambda: not flag.exists(), timeout=20)

        with distexec.DistributedExecutor(2, cluster=server.url) as executor:
            assert executor.submit(pow, 2, 3).result(timeout=60) == 8
        eventually(lambda: node.pid not in (0, stuck), timeout=60)
        assert "main thread is stuck" in node.log
