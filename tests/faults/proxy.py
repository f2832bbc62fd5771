"""A proxy between the parties, which understands Redis' protocol just enough to be mean."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from enum import Enum

#: Bytes relayed at a time.
CHUNK_BYTES = 65536


class Meanness(Enum):
    """What is done to a command."""

    #: The connection is reset, and the server never hears of the command.
    UNSENT = "unsent"
    #: The server does it, and the connection is reset instead of the answer.
    UNANSWERED = "unanswered"
    #: As before, in the middle of the answer.
    HALF_ANSWERED = "half answered"
    #: The server gets it with a bit of its longest word turned round.
    FLIPPED = "flipped"
    #: Every connection is reset, and no new one is made for `OUTAGE_SECONDS`.
    OUTAGE = "outage"


#: Long enough that what is tried once more at once fails again.
OUTAGE_SECONDS = 0.3

#: Looks at each command, in the order of their arrival; ``None`` lets it pass.
Rule = Callable[[list[bytes]], Meanness | None]


class Proxy:
    """Listens on a loopback port, on a thread of its own, and relays to the server's port."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        #: Judges every command.
        self.rule: Rule | None = None
        #: Seconds that each byte travels in one direction, and at most so many more.
        self.delay = self.jitter = 0.0
        #: Bytes per second in each direction; ``None`` for as many as there are.
        self.bandwidth: float | None = None
        #: Until this instant new connections are reset.
        self._refuses_until = 0.0
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = {"up": asyncio.Event(), "down": asyncio.Event()}
        for event in self._flowing.values():
            event.set()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="proxy")
        self._thread.start()
        started.wait()

    # From the tests' thread.

    def cut(self, *, refuse_seconds: float = 0.0) -> None:
        """Reset every connection, and refuse new ones for a while."""
        self._do(lambda: self.reset(refuse_seconds))

    @property
    def refuses(self) -> bool:
        """Whether new connections are reset now."""
        return time.monotonic() < self._refuses_until

    def hold(self, *directions: str) -> None:
        """Relay nothing more: ``up`` to the server, ``down`` from it; both without a name.

        The connections stay open, and new ones are accepted: neither side is told.
        """
        self._do(lambda: [self._flowing[each].clear() for each in directions or self._flowing])

    def release(self) -> None:
        """Relay what was held back, and all the rest."""
        self._do(lambda: [event.set() for event in self._flowing.values()])

    def close(self) -> None:
        """Reset every connection and end."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _do(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result()

    # On the loop's thread.

    def _run(self, started: threading.Event) -> None:
        try:
            self._loop.run_until_complete(self._main(started))
        finally:
            self._loop.close()

    async def _main(self, started: threading.Event) -> None:
        self._stop = asyncio.Event()
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = listener.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        listener.close()
        for event in self._flowing.values():
            event.set()
        while pending := asyncio.all_tasks() - {asyncio.current_task()}:
            self._reset_all()
            await asyncio.wait(pending, timeout=0.05)
        await asyncio.sleep(0)  # What was reset last is closed in the loop's next round.

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            _reset(writer)
            return
        await self._flowing["down"].wait()  # Who hears nothing makes no connection either.
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self, writer, server)
        self._open |= {writer, server}
        try:
            relays = [connection.relay_commands(reader), connection.relay_answers(answers)]
            tasks = [asyncio.create_task(relay) for relay in relays]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._open -= {writer, server}
            _reset(writer)
            _reset(server)

    def reset(self, refuse_seconds: float) -> None:
        """Reset every connection, and refuse new ones for a while: on the loop's thread."""
        self._refuses_until = time.monotonic() + refuse_seconds
        self._reset_all()

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    def arrival(self, size: int, previous: float) -> float:
        """When *size* bytes arrive that leave now, behind those that arrive at *previous*."""
        sending = 0.0 if self.bandwidth is None else size / self.bandwidth
        travel = self.delay + random.uniform(0, self.jitter)
        return max(previous, time.monotonic() + travel) + sending

    async def flowing(self, direction: str) -> None:
        """Wait until *direction* is not held."""
        await self._flowing[direction].wait()


class _Connection:
    """One client's connection to the server."""

    def __init__(
        self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        #: What is to be done when the next answer comes.
        self._awaiting: Meanness | None = None

    async def relay_commands(self, reader: asyncio.StreamReader) -> None:
        """Carry commands to the server, unless the rule says otherwise."""
        async with self._line("up", self._server) as send:
            while True:
                command, raw = await _read_command(reader)
                rule = self._proxy.rule
                meanness = None if rule is None else rule(command)
                if meanness is Meanness.OUTAGE:
                    self._proxy.reset(OUTAGE_SECONDS)
                if meanness in (Meanness.UNSENT, Meanness.OUTAGE):
                    return
                if meanness is Meanness.FLIPPED:
                    raw = _flip(command)
                elif meanness is not None:
                    self._awaiting = meanness
                send(raw)

    async def relay_answers(self, reader: asyncio.StreamReader) -> None:
        """Carry answers to the client, or a part of one, or none."""
        async with self._line("down", self._client) as send:
            while data := await reader.read(CHUNK_BYTES):
                if self._awaiting is Meanness.HALF_ANSWERED:
                    send(data[: len(data) // 2])
                if self._awaiting is not None:
                    return
                send(data)

    @contextlib.asynccontextmanager
    async def _line(
        self, direction: str, writer: asyncio.StreamWriter
    ) -> AsyncIterator[Callable[[bytes], None]]:
        """A cable: what is put in comes out at the other end, in order, some time later."""
        inside: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        last = 0.0

        def send(data: bytes) -> None:
            nonlocal last
            last = self._proxy.arrival(len(data), last)
            inside.put_nowait((last, data))

        async def deliver() -> None:
            with contextlib.suppress(OSError):
                while (parcel := await inside.get()) is not None:
                    arrives, data = parcel
                    if (travels := arrives - time.monotonic()) > 0:
                        await asyncio.sleep(travels)
                    await self._proxy.flowing(direction)
                    writer.write(data)
                    await writer.drain()

        delivery = asyncio.create_task(deliver())
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                yield send
            inside.put_nowait(None)
            await delivery
        finally:
            delivery.cancel()


async def _read_command(reader: asyncio.StreamReader) -> tuple[list[bytes], bytes]:
    """Read one command: its words, and its bytes."""
    head = await reader.readuntil(b"\r\n")
    if not head.startswith(b"*"):
        return head.split(), head
    raw, words = [head], []
    for _ in range(int(head[1:])):
        length = await reader.readuntil(b"\r\n")
        word = await reader.readexactly(int(length[1:]) + 2)
        raw += [length, word]
        words.append(word[:-2])
    return words, b"".join(raw)


def _flip(command: list[bytes]) -> bytes:
    """The bytes of *command* with one bit changed, of the longest word."""
    index = max(range(len(command)), key=lambda index: len(command[index]))
    changed = bytearray(command[index])
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    words = [*command[:index], bytes(changed), *command[index + 1 :]]
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection without the courtesies: the other side gets a reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
