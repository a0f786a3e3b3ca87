"""Python `websockets` as a server of the clients under test, on a free port. JSON lines:
{"port": N}, then one object per check of a fuzzing case or {"event": "end", "id": ...} per other connection.

  python server.py [CHAIN.pem KEY.pem]     (with a certificate: over TLS)

/echo           echoes in three fragments, with a ping before, inside and after each reply
/close-first    echoes one message and closes with 1001
/close-on-open  closes with 4000 at once
/getCaseCount, /runCase?case=N&agent=A, /updateReports?agent=A   as the Autobahn fuzzing server
"""
import asyncio
import ssl
import sys
import urllib.parse

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from shared import LIMIT, MIB, SIZES, check, end_with_input, payload, pieces, report, require, same_message


async def closed(ws, code=1000, reason="done"):
    await ws.close(code, reason)
    await ws.wait_closed()
    got = ws.protocol.close_rcvd
    require(got is not None, "the connection ended without the client's Close")
    require(got.code == code and got.reason in ("", reason), "Close %r" % (got,))


async def message(ws, kind, size):
    data = payload(kind, size)
    await ws.send(data)
    same_message(await ws.recv(), data)
    await closed(ws)


async def fragmented(ws, kind, size, count):
    data = payload(kind, size)
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


async def ping(ws, size):
    await (await ws.ping(payload("binary", size)))
    await closed(ws)


async def pipelined(ws):
    messages = [payload("binary" if i % 2 else "multibyte", i * i) for i in range(100)]
    for data in messages:
        await ws.send(data)
    for data in messages:
        same_message(await ws.recv(), data)
    await closed(ws)


async def too_big(ws, sizes):
    async def fragments():
        for size in sizes:
            yield payload("binary", size)
    try:
        await ws.send(fragments() if len(sizes) > 1 else payload("binary", sizes[0]))
        await ws.recv()
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    require(ws.close_code == 1009, "the client's close code is %s" % ws.close_code)


CASES = [("%s message of %d bytes" % (kind, size), message, kind, size)
         for kind in ("ascii", "multibyte", "binary") for size in SIZES]
CASES += [("%s message of %d bytes in fragments with a ping after each" % (kind, size), fragmented, kind, size, count)
          for kind, size, count in (("multibyte", 20, 5), ("binary", 65536, 3), ("multibyte", MIB, 100), ("binary", LIMIT, 16))]
CASES += [("a ping of %d bytes gets its payload back" % size, ping, size) for size in (0, 1, 125)]
CASES += [("100 pipelined messages come back in order", pipelined)]
CASES += [("Close %d" % code, closed, code, reason)
          for code, reason in ((1000, "goodbye, ünïcödé"), (1001, "x" * 123), (3000, ""), (4999, "private"))]
CASES += [("a message of 16 MiB + 1 in one frame -> 1009", too_big, [LIMIT + 1]),
          ("a message of 16 MiB + 1 in two fragments -> 1009", too_big, [LIMIT, 1])]


def query_of(ws):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(ws.request.path).query))


def report_end(ws, **more):
    got = ws.protocol.close_rcvd
    report({"event": "end", "id": query_of(ws).get("id"), "code": got.code if got else 1006, "reason": got.reason if got else "", **more})


async def echo(ws):
    pongs = {}
    messages = 0

    async def reply(data):
        parts = pieces(data, 3)
        yield parts[0]
        await ping_once("inside %d" % messages)
        for part in parts[1:]:
            yield part

    async def ping_once(name):
        pongs[name] = await ws.ping(name)

    try:
        async for data in ws:
            messages += 1
            await ping_once("before %d" % messages)
            await ws.send(reply(data))
            await ping_once("after %d" % messages)
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    answered = [name for name, pong in pongs.items() if pong.done() and not pong.cancelled() and not pong.exception()]
    unanswered = [name for name in pongs if name not in answered and name != "after %d" % messages]
    report_end(ws, messages=messages, unanswered=unanswered, unexpected=[])


async def close_first(ws):
    try:
        await ws.send(await ws.recv())
    except ConnectionClosed:
        pass
    await ws.close(1001, "going away")
    report_end(ws)


async def close_on_open(ws):
    await ws.close(4000, "not now")
    report_end(ws)


async def handle(ws):
    path = urllib.parse.urlsplit(ws.request.path).path
    query = query_of(ws)
    simple = {"/echo": echo, "/close-first": close_first, "/close-on-open": close_on_open}
    if path in simple:
        await simple[path](ws)
    elif path == "/getCaseCount":
        await ws.send(str(len(CASES)))
        await ws.close()
    elif path == "/updateReports":
        report({"event": "reports", "agent": query.get("agent")})
        await ws.close()
    elif path == "/runCase":
        name, run, *arguments = CASES[int(query["case"]) - 1]
        await check(name, run, ws, *arguments)
        if ws.state is not State.CLOSED:
            ws.transport.abort()
    else:
        await ws.close(4004, "no such path")


async def main():
    context = None
    if sys.argv[1:]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[1:])
    async with serve(handle, "127.0.0.1", 0, ssl=context, max_size=4 * LIMIT, ping_interval=None) as server:
        report({"port": server.sockets[0].getsockname()[1], "cases": len(CASES)})
        await asyncio.Future()


end_with_input()
asyncio.run(main())
