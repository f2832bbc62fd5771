"""Expiries, beats and limits, from the environment: callers and nodes of one cluster share them.

Every field is an environment variable: ``node_expiry_seconds`` is ``DISTEXEC_NODE_EXPIRY_SECONDS``.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

ENVIRONMENT_PREFIX = "DISTEXEC_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations in seconds, sizes in bytes. All must be positive and finite."""

    #: A node says that it and its children live once in this time, with one command.
    beat_seconds: float = 1.0
    #: Silence after which a node, with every lease it holds, counts as lost: five missed beats.
    node_expiry_seconds: float = 5.0
    #: Silence after which a caller counts as gone: its leases end.
    session_expiry_seconds: float = 20.0
    #: Lifetime of a vanished caller's keys on the server.
    key_expiry_seconds: float = 60.0
    #: An idle lease keeps its slot this long, if nobody else asks for it.
    linger_seconds: float = 2.0
    #: Unanswered demand is repeated after this time.
    demand_repeat_seconds: float = 0.5
    #: The embedded cluster of a process ends this long after its last executor.
    cluster_linger_seconds: float = 5.0
    #: Time allowed for connecting to the server, and for each answer.
    connect_seconds: float = 5.0
    #: A server that stays away longer fails the calls that wait for it.
    unavailable_seconds: float = 60.0
    #: A queue that nobody serves is reported after this time.
    no_worker_warning_seconds: float = 5.0
    #: Largest pickled call or result. Redis refuses values above 512 MiB.
    max_payload_bytes: float = 480 * 2**20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name} must be a positive, finite number, not {value!r}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the fields that are set, and take the defaults of the others.

        Raises:
            ValueError: A variable is not a positive number; the message names it.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, float] = {}
        for field in fields(cls):
            name = ENVIRONMENT_PREFIX + field.name.upper()
            text = environment.get(name)
            if text is None:
                continue
            try:
                values[field.name] = float(text)
            except ValueError:
                unit = field.name.rpartition("_")[2]
                raise ValueError(f"{name} must be a number of {unit}, not {text!r}") from None
        return cls(**values)
