"""What calls of these tests do. The nodes import it from the tests' folder."""

import os
from typing import Any

from properties import calls


def where() -> str:
    """The name of the node that runs this call."""
    return os.environ["NODE_OF_TEST"]


def noted_where(ledger: str, gate: str, value: Any) -> tuple[Any, str]:
    """Say on which node the call waits, wait, and say so again."""
    calls.note(ledger, f"{value} {where()}")
    return calls.wait_for(gate, value), where()
