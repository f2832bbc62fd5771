"""What calls of these tests do. Importable, so that they travel by reference."""

import os
from typing import Any

from properties import calls


def work(ledger: str, gate: str, value: Any) -> Any:
    """Say that it starts, wait for the gate, and say that it ends."""
    calls.note(ledger, f"start {value} {os.getpid()}")
    calls.wait_for(gate)
    calls.note(ledger, f"end {value} {os.getpid()}")
    return value
