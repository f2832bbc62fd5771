"""A server behind TLS: an asyncio proxy with certificates of an authority made for the test."""

import asyncio
import contextlib
import datetime
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import trustme


class Authority:
    """A certificate authority, and what it has signed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._authority = trustme.CA()
        #: What callers and nodes are told to trust.
        self.path = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.path))

    def context(self, host: str, *, expired: bool = False) -> ssl.SSLContext:
        """What a server needs that calls itself *host*."""
        until = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if expired else None
        certificate = self._authority.issue_cert(
            host, not_before=until and until - datetime.timedelta(days=1), not_after=until
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


@contextlib.contextmanager
def proxy(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Serve TLS on a port of loopback, which is given, and hand what comes to *port*, in clear."""
    loop = asyncio.new_event_loop()
    listening: list[int] = []
    ready = threading.Event()
    stop = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        ways = [
            asyncio.ensure_future(_copy(reader, behind_writer)),
            asyncio.ensure_future(_copy(behind_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            # At once: a polite goodbye could wait for the other side.
            writer.transport.abort()
            behind_writer.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def serve() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
        listening.append(server.sockets[0].getsockname()[1])
        ready.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for _ in range(3):  # Transports that were aborted close their sockets in the next rounds.
            await asyncio.sleep(0)

    # A refused handshake is what these tests are about, and no news.
    loop.set_exception_handler(lambda *_: None)
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(10)
    try:
        yield listening[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
