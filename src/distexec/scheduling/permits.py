"""Permits: so many calls together, among all executors that share a key.

An executor says how many of its calls hold a permit, and how many more want one. What it says
replaces what it said before, so that nothing is counted twice, whatever is lost on the way; and it
says so again and again, or it is forgotten. Whoever wants more stands in line, and each who stands
before it has a permit kept for it.

``store/lua/permits.lua`` does the same on the server, by its clock. Instants are microseconds.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from distexec.scheduling.rate_limits import MICROSECONDS

#: Microseconds after which one that stands in line and does not ask again has left it. Who waits
#: asks four times as often (`distexec.client.gate`), so that the line has nobody dead for long.
PATIENCE: Final = 2 * MICROSECONDS


class Share(NamedTuple):
    """What is kept of an executor."""

    held: int
    #: When its permits come back unless it speaks.
    expires_at: int
    #: Since when it stands in line, and until when unless it asks again.
    since: int = 0
    until: int = 0


class Permits(NamedTuple):
    """What an executor is told."""

    #: Permits that it has now beside those that it held.
    granted: int
    #: Who else may have one now, and waits for it.
    next_in_line: tuple[str, ...]


def share_out(
    shares: Mapping[str, Share],
    who: str,
    now: int,
    *,
    limit: int,
    held: int,
    wanted: int,
    expiry: int,
) -> tuple[dict[str, Share], Permits]:
    """Give *who*, which holds *held* permits, up to *wanted* more: never above *limit* for all.

    Args:
        shares: As the last one who asked left them.
        expiry: Microseconds of silence after which an executor's permits come back.

    Returns:
        What to keep, and what to tell.
    """
    others = {
        name: share
        for name, share in shares.items()
        if name != who and max(share.expires_at if share.held else 0, share.until) > now
    }
    mine = shares.get(who)
    since = mine.since if mine is not None and mine.until > now else now
    line = sorted((each.since, name) for name, each in others.items() if each.until > now)
    free = limit - held - sum(each.held for each in others.values() if each.expires_at > now)
    ahead = sum(place < (since, who) for place in line)
    granted = max(0, min(wanted, free - ahead))
    if granted:
        since = now  # Behind the others, for what it still wants.
    kept = dict(others)
    waits = wanted > granted
    if held + granted or waits:
        until = now + PATIENCE if waits else 0
        kept[who] = Share(held + granted, now + expiry, since if waits else 0, until)
    free = max(0, free - granted)
    return kept, Permits(granted, tuple(name for _, name in line[:free]))
