"""What calls of these tests do; workers import it from the tests' folder."""

import os
import subprocess
import sys
import time

from properties import calls


def wait_quietly(gate: str, value: int, ledger: str) -> int:
    """Return *value* once the file *gate* exists; use next to no processor until then."""
    calls.note(ledger, value)
    deadline = time.monotonic() + 60
    while not os.path.exists(gate):
        if time.monotonic() > deadline:
            raise TimeoutError(gate)
        time.sleep(0.1)
    return value


def environments() -> list[str]:
    """What a call sees as its environment, and what a program sees that it starts."""
    command = [sys.executable, "-c", "import os; print(dict(os.environ))"]
    started = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [str(dict(os.environ)), started]
