"""`distexec.store.port.NodeStore` on Redis or Valkey."""

from distexec.settings import Settings
from distexec.store import keys
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link, ServerError, script
from distexec.store.port import ExecutorRef, Frame


class RedisNodeStore:
    """A node's main process: a connection to beat and report, and one that waits for commands."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        self._key_expiry = round(settings.key_expiry_seconds * 1000)
        self._link = Link(endpoint, settings)
        self._listener = Link(endpoint, settings)
        self._last_command = b"0-0"

    def beat(self, name: str, frame: Frame, expiry: float) -> float:
        command = script("beat_node").call(
            [keys.node_record(name), keys.node_leases(name), keys.NODE_NAMES],
            *(frame, round(expiry * 1000), name),
        )
        return float(self._link.call(*command))

    def leases_of(self, name: str, pid: int) -> list[tuple[ExecutorRef, str]]:
        fields = self._link.call("HGETALL", keys.node_leases(name))
        found = []
        for lease, holder in zip(fields[::2], fields[1::2], strict=True):
            child, session, executor = holder.decode().split(" ")
            if int(child) == pid:
                found.append((ExecutorRef(session, executor), lease.decode()))
        return found

    def holders(self, name: str) -> set[int]:
        holders = self._link.call("HVALS", keys.node_leases(name))
        return {int(holder.decode().split(" ")[0]) for holder in holders}

    def report(self, ref: ExecutorRef, frame: Frame) -> None:
        place = [keys.session(ref.session), keys.replies(ref.session)]
        self._link.call(*script("report").call(place, frame, self._key_expiry))

    def forget(self, name: str, pid: int) -> None:
        leases = [lease for _, lease in self.leases_of(name, pid)]
        if leases:
            self._link.call("HDEL", keys.node_leases(name), *leases)

    def commands(self, name: str, timeout: float) -> list[Frame]:
        (answer,) = self._listener.run(
            (
                *("XREAD", "BLOCK", max(1, round(timeout * 1000))),
                *("STREAMS", keys.node_commands(name), self._last_command),
            ),
            blocks=timeout,
        )
        if isinstance(answer, ServerError) or not answer:
            return []
        entries = answer[0][1]
        self._last_command = entries[-1][0]
        # The next node of this name must not find them again.
        stream = keys.node_commands(name)
        self._listener.run(("XDEL", stream, *(identity for identity, _ in entries)))
        return [fields[1] for _, fields in entries]

    def leave(self, name: str) -> None:
        self._link.run(
            ("DEL", keys.node_record(name), keys.node_leases(name), keys.node_commands(name)),
            ("SREM", keys.NODE_NAMES, name),
        )

    def close(self) -> None:
        self._link.close()
        self._listener.close()
