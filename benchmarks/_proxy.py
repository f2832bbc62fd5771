"""A link that takes its time: passes bytes on between two Unix sockets, each some seconds late.

python _proxy.py LISTEN TARGET SECONDS
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter

#: What is read at a time; a full pipe is not what is measured.
_PIECE_BYTES = 1 << 20


async def serve(listen: str, target: str, delay: float) -> None:
    """Accept connections until cancelled."""
    tasks: set[asyncio.Task[None]] = set()

    async def connect(reader: StreamReader, writer: StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(target)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(pass_on(source, sink, delay))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_unix_server(connect, listen, limit=_PIECE_BYTES)
    async with server:
        await server.serve_forever()


async def pass_on(source: StreamReader, sink: StreamWriter, delay: float) -> None:
    """Pass bytes on in their order, each *delay* seconds after it came; then close."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        piece = b"?"
        while piece:
            try:
                piece = await source.read(_PIECE_BYTES)
            except ConnectionError:
                piece = b""
            pieces.put_nowait((loop.time() + delay, piece))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, piece = await pieces.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not piece:
                return
            sink.write(piece)
            await sink.drain()
    except ConnectionError:
        return
    finally:
        reading.cancel()
        sink.close()


if __name__ == "__main__":
    try:
        asyncio.run(serve(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    except KeyboardInterrupt:
        pass
