"""What an operator may see of a cluster, and nobody else needs."""

from distexec.settings import Settings
from distexec.store import keys, totals
from distexec.store.answers import read_demands, read_info, read_text, read_time
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link, script
from distexec.store.node_records import read_holder, read_nodes, send_command
from distexec.store.port import ExecutorRef, Frame, NodeLease, NodeStatus
from distexec.store.redis_history import RedisHistoryStore

#: Keys looked at in one step of a scan: some tenths of a millisecond of the server's time.
_SCAN_COUNT = 500


class RedisMonitorStore:
    """One connection. Used by one thread."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        self._link = Link(endpoint, settings)
        self.history = RedisHistoryStore(self._link)
        self._key_expiry = round(settings.key_expiry_seconds * 1000)

    def server(self) -> dict[str, str]:
        """The server's own figures, as ``INFO`` names them."""
        return read_info(self._link.call("INFO"))

    def nodes(self) -> list[NodeStatus]:
        """The nodes that beat."""
        return read_nodes(self._link)

    def command(self, node: str, frame: Frame) -> None:
        """Hand *frame* to the node's commands."""
        send_command(self._link, node, frame)

    def notify(self, session: str, frame: Frame) -> bool:
        """Put *frame* on a session's reply stream; False if the session is gone."""
        place = [keys.session(session), keys.replies(session)]
        return bool(self._link.call(*script("report").call(place, frame, self._key_expiry)))

    def now(self) -> float:
        """The server's clock, in seconds."""
        return read_time(self._link.call("TIME"))

    def totals(self) -> dict[str, int]:
        """What happened to all calls of the cluster, by name."""
        return totals.read(self._link)

    def answer(self, session: str, name: str) -> Frame | None:
        """What a session told, if it did."""
        frame: Frame | None = self._link.call("GET", keys.answer(session, name))
        return frame

    def queues(self) -> list[str]:
        """The queues that executors ask something of."""
        prefix, found, cursor = keys.demand(""), set(), b"0"
        while True:
            cursor, names = self._link.call(
                "SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", _SCAN_COUNT
            )
            found |= {read_text(name).removeprefix(prefix) for name in names}
            if cursor == b"0":
                return sorted(name for name in found if name.isprintable())

    def demands(self, queue: str) -> list[tuple[ExecutorRef, Frame]]:
        """What executors ask of *queue*; also those whose session is gone."""
        return read_demands(self._link.call("HGETALL", keys.demand(queue)))

    def node_leases(self, name: str) -> list[NodeLease]:
        """The leases that a node's children hold."""
        fields = self._link.call("HGETALL", keys.node_leases(name))
        found = []
        for lease, holder in zip(fields[::2], fields[1::2], strict=True):
            try:
                found.append(NodeLease(lease.decode(), *read_holder(holder)))
            except ValueError:  # None of ours.
                continue
        return found

    def close(self) -> None:
        """Close the connection."""
        self._link.close()
