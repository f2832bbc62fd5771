"""`distexec.store.port.NodeStore` on Redis or Valkey."""

from collections.abc import Mapping

from distexec.settings import Settings
from distexec.store import keys, totals
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link, ServerError, script
from distexec.store.node_records import read_holder
from distexec.store.port import ExecutorRef, Frame, KeyDamaged
from distexec.store.redis_replies import LAST_ID


class RedisNodeStore:
    """A node's main process: a connection to beat and report, and one that waits for commands."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        self._settings = settings
        self._key_expiry = round(settings.key_expiry_seconds * 1000)
        self._link = Link(endpoint, settings)
        self._listener = Link(endpoint, settings)

    def beat(self, name: str, frame: Frame, expiry: float) -> float:
        own = [keys.node_record(name), keys.node_leases(name), keys.NODE_NAMES]
        command = script("beat_node").call(
            [*own, keys.node_commands(name)], *(frame, round(expiry * 1000), name)
        )
        answer = self._link.call(*command)
        if isinstance(answer, list):
            raise KeyDamaged("; ".join(each.decode(errors="replace") for each in answer))
        return float(answer)

    def leases_of(self, name: str, pid: int) -> list[tuple[ExecutorRef, str]]:
        return [(ref, lease) for child, ref, lease in self._registered(name) if child == pid]

    def holders(self, name: str) -> set[int]:
        return {child for child, _, _ in self._registered(name)}

    def _registered(self, name: str) -> list[tuple[int, ExecutorRef, str]]:
        """Every lease of the node with its process; not what others wrote beside them."""
        try:
            fields = self._link.call("HGETALL", keys.node_leases(name))
        except KeyDamaged:
            return []  # The next beat mends it. Callers find lost leases by the node's record too.
        found = []
        for lease, holder in zip(fields[::2], fields[1::2], strict=True):
            try:
                found.append((*read_holder(holder), lease.decode()))
            except ValueError:
                self._link.call("HDEL", keys.node_leases(name), lease)
        return found

    def report(self, ref: ExecutorRef, frame: Frame) -> None:
        place = [keys.session(ref.session), keys.replies(ref.session)]
        self._link.call(*script("report").call(place, frame, self._key_expiry))

    def count(self, source: str, serial: int, counts: Mapping[str, int]) -> None:
        totals.add(self._link, self._settings, source, serial, counts)

    def forget(self, name: str, pid: int) -> None:
        leases = [lease for _, lease in self.leases_of(name, pid)]
        if leases:
            self._link.call("HDEL", keys.node_leases(name), *leases)

    def commands(self, name: str, timeout: float) -> list[Frame]:
        stream = keys.node_commands(name)
        # Always from the beginning, and what was read is removed: an entry with a higher id than
        # the clock's, which anybody can write, would hide all that come after it.
        (answer,) = self._listener.run(
            ("XREAD", "BLOCK", max(1, round(timeout * 1000)), "STREAMS", stream, "0-0"),
            blocks=timeout,
        )
        if isinstance(answer, ServerError):
            raise answer
        if not answer:
            return []
        entries = answer[0][1]
        if entries[-1][0] == LAST_ID:
            self._listener.call("DEL", stream)
        else:
            self._listener.call("XDEL", stream, *(identity for identity, _ in entries))
        return [fields[1] for _, fields in entries]

    def leave(self, name: str) -> None:
        self._link.run(
            ("DEL", keys.node_record(name), keys.node_leases(name), keys.node_commands(name)),
            ("SREM", keys.NODE_NAMES, name),
        )

    def close(self) -> None:
        self._link.close()
        self._listener.close()
