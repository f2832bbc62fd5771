"""What calls of these tests do. Importable, so that they travel by reference."""

import os
import signal
from typing import Any

import distexec
from properties import calls


def work(ledger: str, gate: str, value: Any) -> Any:
    """Say that it starts, wait for the gate, and say that it ends."""
    calls.note(ledger, f"start {value} {os.getpid()}")
    calls.wait_for(gate)
    calls.note(ledger, f"end {value} {os.getpid()}")
    return value


def die_first(ledger: str) -> tuple[str, int]:
    """Kill the process at the first attempt; at the next one return the call's id and attempt."""
    call = distexec.current_call()
    assert call is not None
    calls.note(ledger, f"{call.id} {call.attempt}")
    if call.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return call
