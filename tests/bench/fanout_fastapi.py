"""Live view as a first prototype would have it, as a server for `fanout.py`. FastAPI is no part of the project.

32 KiB reads, a bytearray that is searched, a copy of each frame, and one `StreamingResponse` per viewer that looks
30 times a second for the newest frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import anyio
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

FPS = 30
newest: list[bytes] = []


async def read_frames(server: uvicorn.Server) -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    buffer = bytearray()
    while chunk := await reader.read(32 * 1024):
        buffer += chunk
        while (end := buffer.find(b"\xff\xd9")) >= 0:
            start = buffer.find(b"\xff\xd8")
            newest[:] = [bytes(buffer[start : end + 2])]
            buffer = buffer[end + 2 :]
    server.should_exit = server.force_exit = True


async def pictures() -> AsyncIterator[bytes]:
    while True:
        if newest:
            yield b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + newest[0] + b"\r\n"
        await anyio.sleep(1 / FPS)


async def stream() -> StreamingResponse:
    return StreamingResponse(pictures(), media_type="multipart/x-mixed-replace; boundary=frame")


async def serve() -> None:
    application = FastAPI()
    application.get("/stream/cam0")(stream)
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off"))
    async with asyncio.TaskGroup() as group:
        group.create_task(read_frames(server), name="frames")
        print(listening.getsockname()[1], flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(serve())
