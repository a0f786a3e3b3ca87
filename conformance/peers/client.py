"""Python `websockets` as a client of an echo server. One JSON line per check, then {"done": true}.

  python client.py ws://HOST:PORT
"""
import asyncio
import contextlib
import sys

from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from shared import LIMIT, MIB, SIZES, check, end, end_with_input, payload, pieces, report, require, same_message

URL = sys.argv[1]


@contextlib.asynccontextmanager
async def connect(**options):
    """A connection that is cut, not closed, when a check fails, so that the failure is not waited for."""
    options = {"max_size": 4 * LIMIT, "proxy": None, "ping_interval": None, "open_timeout": 10, **options}
    ws = await dial(URL, **options)
    try:
        yield ws
    finally:
        if ws.state is not State.CLOSED:
            ws.transport.abort()


async def closed(ws, code=1000, reason=""):
    await ws.close(code, reason)
    await ws.wait_closed()
    got = ws.protocol.close_rcvd
    require(got is not None, "the connection ended without the server's Close")
    require(got.code == code and got.reason in ("", reason), "Close %r" % (got,))
    require(ws.protocol.close_rcvd_then_sent is False, "the server closed first")


async def plain():
    async with connect(compression=None) as ws:
        require(not ws.response.headers.get("Sec-WebSocket-Extensions") and ws.subprotocol is None, "chosen: %s" % ws.response)
        await closed(ws)


async def message(kind, size):
    async with connect() as ws:
        data = payload(kind, size)
        await ws.send(data)
        same_message(await ws.recv(), data)
        await closed(ws)


async def fragmented(kind, size, count):
    data = payload(kind, size)
    async with connect() as ws:
        pongs = []

        async def fragments():
            for piece in pieces(data, count):
                yield piece
                pongs.append(await ws.ping("ping %d" % len(pongs)))
        sending = asyncio.create_task(ws.send(fragments()))
        same_message(await ws.recv(), data)
        await sending
        await asyncio.gather(*pongs)
        await closed(ws)


async def ping(size):
    async with connect() as ws:
        await (await ws.ping(payload("binary", size)))
        await closed(ws)


async def pipelined():
    messages = [payload("binary" if i % 2 else "multibyte", i * i) for i in range(100)]
    async with connect() as ws:
        for data in messages:
            await ws.send(data)
        for data in messages:
            same_message(await ws.recv(), data)
        await closed(ws)


async def close_code(code, reason):
    async with connect() as ws:
        await closed(ws, code, reason)


async def too_big(parts):
    async with connect() as ws:
        async def fragments():
            for size in parts:
                yield payload("binary", size)
        try:
            await ws.send(fragments() if len(parts) > 1 else payload("binary", parts[0]))
            await ws.recv()
        except ConnectionClosed:
            pass
        await ws.wait_closed()
        require(ws.close_code == 1009, "close code %s" % ws.close_code)


async def many():
    async def one(i):
        async with connect() as ws:
            await ws.send("connection %d" % i)
            same_message(await ws.recv(), "connection %d" % i)
            await closed(ws)
    await asyncio.gather(*(one(i) for i in range(50)))


async def main():
    await check("opens without an extension or a subprotocol that nobody asked for", plain)
    for kind in ("ascii", "multibyte", "binary"):
        for size in SIZES:
            await check("%s message of %d bytes" % (kind, size), message, kind, size)
    for kind, size, count in (("multibyte", 20, 5), ("binary", 65536, 3), ("multibyte", MIB, 100), ("binary", LIMIT, 16)):
        await check("%s message of %d bytes in fragments with a ping after each" % (kind, size), fragmented, kind, size, count)
    for size in (0, 1, 125):
        await check("a ping of %d bytes gets its payload back" % size, ping, size)
    await check("100 pipelined messages come back in order", pipelined)
    for code, reason in ((1000, "goodbye, ünïcödé"), (1000, "x" * 123), (1001, "leaving"), (3000, ""), (4999, "private")):
        await check("Close %d with a reason of %d bytes" % (code, len(reason.encode())), close_code, code, reason)
    await check("a message of 16 MiB + 1 in one frame -> 1009", too_big, [LIMIT + 1])
    await check("a message of 16 MiB + 1 in two fragments -> 1009", too_big, [LIMIT, 1])
    await check("50 connections at once", many)
    report({"done": True})
    end()


end_with_input()
asyncio.run(main())
