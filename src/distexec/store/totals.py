"""The cluster's totals: what happened to its calls, added up over all callers and nodes.

Nobody signs them. They are for pictures, and decide nothing.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from distexec.errors import ClusterError, ClusterRefused
from distexec.settings import Settings
from distexec.store import keys

if TYPE_CHECKING:
    from distexec.store.link import Link

#: Milliseconds after the last addition for which totals are kept: a week.
_EXPIRY = 7 * 86400 * 1000

#: Adds counts under names: takes who sends, a number that its last addition had not, and counts.
Count = Callable[[str, int, Mapping[str, int]], None]


def add(
    link: "Link", settings: Settings, source: str, serial: int, counts: Mapping[str, int]
) -> None:
    """Add *counts* to the totals; what is sent twice counts once."""
    # The caller needs this module before it needs the server, which starts meanwhile.
    from distexec.store.link import script

    pairs = [part for pair in counts.items() for part in pair]
    expiries = _EXPIRY, round(settings.key_expiry_seconds * 1000)
    place = [keys.TOTALS, keys.serial(source)]
    link.call(*script("count").call(place, serial, *expiries, *pairs))


def read(link: "Link") -> dict[str, int]:
    """The totals by name; not what others wrote beside them."""
    fields = link.call("HGETALL", keys.TOTALS)
    found = {}
    for name, count in zip(fields[::2], fields[1::2], strict=True):
        if count.isdigit():
            found[name.decode(errors="replace")] = int(count)
    return found


class Sender:
    """Sends what is added to it, each count once, however often the server goes away meanwhile."""

    def __init__(self) -> None:
        self._source = secrets.token_hex(8)
        self._serial = 0
        self._new: Counter[str] = Counter()
        #: What was sent and not acknowledged: sent again as it is.
        self._sent: Counter[str] = Counter()
        self._is_refused = False

    def add(self, counts: Mapping[str, int]) -> None:
        """Let *counts* leave with the next sending."""
        self._new.update(counts)

    def send(self, count: Count) -> None:
        """Send what is new; a server that is away gets it later."""
        if not self._sent:
            self._sent, self._new = +self._new, Counter()
            self._serial += 1
        if not self._sent or self._is_refused:
            return
        try:
            count(self._source, self._serial, self._sent)
        except ClusterRefused:  # Its users are older than totals: calls do not depend on them.
            self._is_refused = True
        except ClusterError:
            return
        self._sent = Counter()
