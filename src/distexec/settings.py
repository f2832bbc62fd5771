"""Expiries, beats and limits, which callers and nodes of one cluster share; what a node is told
beside them; and where all of it stands.

Every field is an environment variable: ``node_expiry_seconds`` is ``DISTEXEC_NODE_EXPIRY_SECONDS``.
What the environment does not say may stand in ``[tool.distexec]`` of the nearest
``pyproject.toml``, from the current folder upwards, as ``node_expiry_seconds = 5``. Secrets have no
place in a file that is shared, and are refused there.
"""

import difflib
import math
import os
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

PREFIX = "DISTEXEC_"

#: What a project may say beside the fields of `Settings`.
_PLACES = ("url", "broker")

#: Tables of other tools of ours below the same name.
_TABLES = ("migrate",)


DEFAULT_QUEUE = "distexec"

#: Names of queues and nodes: what Celery, Redis keys and shells all take as it is.
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations in seconds, sizes in bytes. All must be positive and finite."""

    #: A node says that it and its children live once in this time, with one command.
    beat_seconds: float = 1.0
    #: Silence after which a node, with every lease it holds, counts as lost: four missed beats. Its
    #: callers look twice a second, so that its calls run again within five seconds.
    node_expiry_seconds: float = 4.0
    #: A node that is told to end lets running calls go on for this long. Then they are handed back.
    drain_seconds: float = 30.0
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
    #: A server that stays away longer fails the calls that wait for it: twice the time for which
    #: a restart or a failover is felt.
    unavailable_seconds: float = 120.0
    #: A queue that nobody serves is reported after this time.
    no_worker_warning_seconds: float = 5.0
    #: A call that outlasted its time limit, and was told so, has this long to end by itself.
    grace_seconds: float = 1.0
    #: Dead letters are kept so long on the server; and so many, of so many bytes together.
    dead_letter_expiry_seconds: float = 7 * 86400.0
    most_dead_letters: float = 1000
    dead_letters_bytes: float = 256 * 2**20
    #: Largest pickled call or result. Redis refuses values above 512 MiB.
    max_payload_bytes: float = 480 * 2**20

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{each.name} must be a positive, finite number, not {value!r}")

    @property
    def permit_expiry_seconds(self) -> float:
        """Silence after which a caller's permits come back.

        Later than what runs for it is stopped: with its leases' keys, and a beat or two.
        """
        return self.key_expiry_seconds + 2 * self.beat_seconds + self.grace_seconds

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the fields that are set, and take the defaults of the others.

        Raises:
            ValueError: A variable is not a positive number; the message names it.
        """
        environment = variables(environment)
        values: dict[str, float] = {}
        for each in fields(cls):
            name = PREFIX + each.name.upper()
            text = environment.get(name)
            if text is None:
                continue
            try:
                values[each.name] = float(text)
            except ValueError:
                unit = each.name.rpartition("_")[2]
                raise ValueError(f"{name} must be a number of {unit}, not {text!r}") from None
        return cls(**values)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(each.name for each in fields(cls))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How one node works. Every field but `slots_at_start` has a variable: ``DISTEXEC_WORKER_...``.

    Raises:
        ValueError: Two of them do not go together.
    """

    #: The queues that it serves, each with its weight: its part of the slots while all are wanted.
    queues: Mapping[str, int] = field(default_factory=lambda: {DEFAULT_QUEUE: 1})
    #: Calls at a time; ``None``: as many as there are processors.
    slots: int | None = None
    #: ``prefork``: a process for each slot; ``threads``: one process with a thread for each.
    pool: str = "prefork"
    #: Bytes of resident memory above which a child is replaced at its next call boundary.
    memory_per_child: int | None = None
    #: Calls after which a child is replaced.
    calls_per_child: int | None = None
    #: Bounds between which the number of slots follows the demand.
    autoscale: tuple[int, int] | None = None
    #: Whether Celery's remote control and events are on: Flower and `celery inspect` need them.
    #: They are not signed.
    remote_control: bool = False

    def __post_init__(self) -> None:
        for name in ("memory_per_child", "calls_per_child", "autoscale"):
            if self.pool != "prefork" and getattr(self, name) is not None:
                raise ValueError(f"{name} needs a pool of processes, and the pool is {self.pool!r}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "WorkerOptions":
        """Read the fields that are set, and take the defaults of the others.

        Raises:
            ValueError: A variable has a value that it cannot have; the message names it.
        """
        environment = variables(environment)
        values: dict[str, object] = {}
        for name, read in _WORKER_FIELDS.items():
            variable = f"{PREFIX}WORKER_{name.upper()}"
            if variable in environment:
                try:
                    values[name] = read(environment[variable])
                except ValueError as error:
                    raise ValueError(f"{variable}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]  # each has the reader of its type

    @property
    def slots_at_start(self) -> int:
        """How many slots the node begins with."""
        slots = self.slots or os.cpu_count() or 1
        if self.autoscale is None:
            return slots
        least, most = self.autoscale
        return min(max(self.slots or least, least), most)


def read_queues(text: str) -> dict[str, int]:
    """Read names with commas between them, each with ``:WEIGHT`` behind it or none."""
    queues = {}
    for part in text.split(","):
        name, colon, weight = part.strip().partition(":")
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: 1 to 64 letters, digits, '_', '.' and '-'")
        queues[name] = read_count(weight) if colon else 1
    return queues


def read_count(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is no whole number from 1")
    return int(text)


def read_size(text: str) -> int:
    """Read a number of bytes, as ``1500000``, ``512M`` or ``2GiB``: units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " ")) if found else 0
    if size < 1:
        raise ValueError(f"{text!r} is no size, as 512M or 2G are")
    return size


def read_bounds(text: str) -> tuple[int, int]:
    """Read two whole numbers with a comma between them, the second not below the first."""
    least, _, most = text.partition(",")
    bounds = read_count(least.strip()), read_count(most.strip())
    if bounds[0] > bounds[1]:
        raise ValueError(f"{text!r}: the first bound is above the second")
    return bounds


def read_pool(text: str) -> str:
    """Read the name of a pool."""
    if text not in POOLS:
        raise ValueError(f"{text!r} is none of {', '.join(POOLS)}")
    return text


def read_switch(text: str) -> bool:
    """Read yes or no, as people write them."""
    if text.lower() not in _SWITCH:
        raise ValueError(f"{text!r} is neither true nor false")
    return _SWITCH[text.lower()]


#: The pools of Celery's in which leases work.
POOLS = ("prefork", "threads")

_SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off", ""), False),
}

_WORKER_FIELDS: dict[str, Callable[[str], object]] = {
    "queues": read_queues,
    "slots": read_count,
    "pool": read_pool,
    "memory_per_child": read_size,
    "calls_per_child": read_count,
    "autoscale": read_bounds,
    "remote_control": read_switch,
}


def variables(environment: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The environment, with what the project's file says where that is silent.

    Args:
        environment: Taken as it is; ``None``: that of this process, with the project's file.

    Raises:
        ValueError: The file has a name that means nothing, or cannot be read.
    """
    if environment is not None:
        return environment
    path = project_file()
    if path is None:
        return os.environ
    return ChainMap(dict(os.environ), dict(_read(path, path.stat().st_mtime_ns)))


def project_file() -> Path | None:
    """The nearest ``pyproject.toml``, if there is one that speaks of us."""
    try:
        folder = Path.cwd()
    except OSError:  # Removed under our feet.
        return None
    for each in (folder, *folder.parents):
        path = each / "pyproject.toml"
        try:
            # Most have nothing for us, and a parser takes longer to load than to find that out.
            return path if b"tool.distexec" in path.read_bytes() else None
        except OSError:
            continue
    return None


@lru_cache(maxsize=8)
def _read(path: Path, _changed_at: int) -> tuple[tuple[str, str], ...]:
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["distexec"]
    except KeyError:
        return ()
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    known = _names()
    found = []
    for name, value in table.items():
        if name in _TABLES:
            continue
        if "secret" in name:
            raise ValueError(
                f"{path}: [tool.distexec] must not hold a secret, since the file is shared: put it "
                "into DISTEXEC_SECRET_FILE"
            )
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(known)}"
            raise ValueError(f"{path}: [tool.distexec] has no {name!r}; {hint}")
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        found.append((PREFIX + name.upper(), text))
    return tuple(found)


def _names() -> tuple[str, ...]:
    """All that a project may say."""
    return (*_PLACES, *Settings.names(), *(f"worker_{name}" for name in _WORKER_FIELDS))


def describe_settings() -> list[tuple[str, str, str]]:
    """All of it as it is in force here: name, value, and where that comes from.

    Raises:
        ValueError: As in `variables`, or a value is none that its name can have.
    """
    settings, path = Settings.from_environment(), project_file()
    WorkerOptions.from_environment()
    said, figures = variables(), Settings.names()
    rows = []
    for name in _names():
        variable = PREFIX + name.upper()
        if variable in os.environ:
            source = f"${variable}"
        elif variable in said:
            source = str(path)
        else:
            source = "default"
        value = f"{getattr(settings, name):g}" if name in figures else said.get(variable, "")
        rows.append((name, value, source))
    return rows
