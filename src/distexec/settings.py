"""Expiries, beats and limits, which callers and nodes of one cluster share; and where they stand.

Every field is an environment variable: ``node_expiry_seconds`` is ``DISTEXEC_NODE_EXPIRY_SECONDS``.
What the environment does not say may stand in ``[tool.distexec]`` of the nearest
``pyproject.toml``, from the current folder upwards, as ``node_expiry_seconds = 5``. Secrets have no
place in a file that is shared, and are refused there.
"""

import difflib
import math
import os
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

PREFIX = "DISTEXEC_"

#: What a project may say beside the fields of `Settings`.
_PLACES = ("url", "broker")

#: Tables of other tools of ours below the same name.
_TABLES = ("migrate",)


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
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name} must be a positive, finite number, not {value!r}")

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
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            text = environment.get(name)
            if text is None:
                continue
            try:
                values[field.name] = float(text)
            except ValueError:
                unit = field.name.rpartition("_")[2]
                raise ValueError(f"{name} must be a number of {unit}, not {text!r}") from None
        return cls(**values)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(field.name for field in fields(cls))


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
    known = (*_PLACES, *Settings.names())
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
        found.append((PREFIX + name.upper(), str(value)))
    return tuple(found)


def describe_settings() -> list[tuple[str, str, str]]:
    """All of it as it is in force here: name, value, and where that comes from.

    Raises:
        ValueError: As in `variables`, or a value is none that its name can have.
    """
    settings, path = Settings.from_environment(), project_file()
    said = variables()
    rows = []
    for name in (*_PLACES, *Settings.names()):
        variable = PREFIX + name.upper()
        if variable in os.environ:
            source = f"${variable}"
        elif variable in said:
            source = str(path)
        else:
            source = "default"
        value = said.get(variable, "") if name in _PLACES else f"{getattr(settings, name):g}"
        rows.append((name, value, source))
    return rows
